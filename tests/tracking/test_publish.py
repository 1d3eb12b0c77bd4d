import json

import offline_run
import pytest

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.schemas import COLUMNS
from alignlab.tracking.publish import PublishJob, publish

NAMES = ("statistics", "comparisons", "scenarios")
SETTINGS = {"mode": "offline", "project": "alignlab", "entity": None}
STATISTIC = {
    "arm": "urial",
    "dataset": "all",
    "category": "all",
    "metric": "echo",
    "n": 3,
    "clusters": 3,
    "mean": 0.25,
    "ci_low": 0.1,
    "ci_high": 0.4,
    "coverage": 1.0,
}


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """The files of a finished experiment, and a home folder that must stay empty."""
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    folder = tmp_path / "results" / "demo"
    for name in ("figures/arms", "report"):
        (folder / name).mkdir(parents=True)
    (folder / "figures" / "arms" / "lengths.svg").write_text("<svg/>")
    (folder / "report" / "index.html").write_text("<p>Report</p>")
    (folder / "manifest.json").write_text(json.dumps({"experiment": "demo", "arms": []}))
    refusals = [
        STATISTIC | {"metric": "refusal", "category": category, "mean": mean}
        for category, mean in (("all", 0.5), ("regular", 0.1), ("safety", 0.9))
    ]
    means = [STATISTIC, *refusals]
    tables.write("statistics", folder / "tables" / "statistics.parquet", means, {})
    tables.write("comparisons", folder / "tables" / "comparisons.parquet", [], {})
    scenario = dict.fromkeys(COLUMNS["scenarios"]) | {"arm": "urial", "mean": 0.5}
    tables.write("scenarios", folder / "tables" / "scenarios.parquet", [scenario], {})

    def run(digest="0123456789ab", **settings):
        spec = {"experiment": "demo", "tables": NAMES, "figures": ["arms"]}
        job = PublishJob(
            spec={**spec, "parents": {"report": digest}},
            place={**SETTINGS, **settings},
            report=folder / "report",
            output=folder,
        )
        publish(job)
        return json.loads((folder / "wandb.json").read_text())

    return run, home


def test_an_offline_run_holds_tables_figures_and_report(finished):
    run, home = finished
    receipt = run()
    found = offline_run.read(receipt["place"])
    assert (found["id"], found["group"], found["job_type"]) == ("0123456789ab", "demo", "report")
    assert found["config"]["experiment"] == "demo"
    assert {name: mean for name, mean in found["summary"].items() if "urial" in name} == {
        "urial/echo": 0.25,
        "urial/refusal/regular": 0.1,
        "urial/refusal/safety": 0.9,
    }
    assert {"statistics", "comparisons", "report"} <= found["history"]
    published = {path for kind, paths in found["artifacts"] if kind == "results" for path in paths}
    assert published == {*(f"{name}.parquet" for name in NAMES), "lengths.svg"}
    assert found["exit"] == 0
    assert not [path for path in home.rglob("*") if path.is_file() and path.suffix == ".parquet"]


def test_the_same_state_is_the_same_run(finished):
    run, _ = finished
    first, again, changed = run(), run(), run("ba9876543210")
    assert first["run"] == again["run"] != changed["run"]


def test_disabled_publishes_nothing_and_says_so(finished):
    run, home = finished
    assert run(mode="disabled") == {"mode": "disabled", "digest": "0123456789ab"}
    assert not list(home.rglob("*.wandb"))


def test_online_without_a_key_is_refused(finished, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    run, _ = finished
    with pytest.raises(AlignlabError, match="set WANDB_API_KEY"):
        run(mode="online")
