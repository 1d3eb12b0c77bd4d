"""Versions by evidence: the parts, and `alignlab stages` on a copy of the repository with git."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from checkouts import copy_repository

from alignlab.core.errors import AlignlabError
from alignlab.engines.config import DecodingConfig
from alignlab.experiment.load import load_experiment
from alignlab.experiment.results import units
from alignlab.judging.openai_judge import Form
from alignlab.learning.config import TrainSetConfig
from alignlab.operations.evidence import loopback
from alignlab.operations.evidence import update as evidence
from alignlab.operations.evidence.trees import experiments, inventory
from alignlab.operations.evidence.update import differences
from alignlab.planning.versions import read_lock
from alignlab.tuning.config import TunedConfig

# ---- what the experiments of the evidence reach --------------------------------------------------


def test_the_evidence_reaches_every_unit_of_code(repository):
    assert {unit for made in inventory() for unit in made["units"]} == units().keys()


def test_the_evidence_reaches_every_option_that_changes_a_value(repository):
    found = [load_experiment(name) for name in experiments()]
    every = [loaded.experiment for loaded in found]
    arms = [arm for experiment in every for arm in experiment.arms]
    methods = {arm.method.kind for arm in arms}
    assert methods == {"zero-shot", "icl", "urial", "retrieval", "chat"}
    used = [e.decoding for e in every] + [a.decoding for a in arms if a.decoding]
    default = DecodingConfig()
    for name in DecodingConfig.model_fields:
        assert any(getattr(d, name) != getattr(default, name) for d in used), name
    recipes = {trainset.recipe for e in every for trainset in e.trainsets}
    assert recipes == {*get_args(TrainSetConfig.model_fields["recipe"].annotation)}
    trainers = {tuned.trainer for e in every for tuned in e.tuned}
    assert trainers == {*get_args(TunedConfig.model_fields["trainer"].annotation)}
    pairs = [pair for e in every for pair in e.pairs]
    assert {pair.template for pair in pairs} == {"own", "shared"}
    assert any(pair.retokenise for pair in pairs)
    assert any(pair.datasets for pair in pairs)
    judges = [
        (loaded.catalog.judges[j.judge], j) for loaded in found for j in loaded.experiment.judges
    ]
    assert {entry.kind for entry, _ in judges} == {"local", "openai", "published", "fake"}
    assert {e.structured for e, _ in judges if e.kind == "openai"} == {
        *("json_schema", "json_object", "none")
    }
    compares = {entry.kind for entry, judge in judges if judge.duels and judge.controls}
    assert compares == {"local", "openai", "fake"}
    assert any(experiment.embedder for experiment in every), "relevance is a metric"
    known = (
        (loaded.catalog.models, arm.model) for loaded in found for arm in loaded.experiment.arms
    )
    models = [models[name].source for models, name in known if name in models]
    assert any(str(getattr(source, "path", "")).endswith(".gguf") for source in models)


# ---- whether two artefacts hold the same ---------------------------------------------------------


def _table(path, **columns):
    pq.write_table(pa.table(columns).replace_schema_metadata({"of": path.name}), path)
    return path


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({}, []),
        ({"seconds": [9.0, 9.0]}, []),
        ({"score": [float("nan"), 2.0]}, ["new.parquet: column score"]),
        ({"score": [float("nan"), -0.0]}, ["new.parquet: column score"]),
        ({"text": ["b", "a"]}, ["new.parquet: column text"]),
        ({"score": pa.array([float("nan"), 0.0], pa.float32())}, ["column score: another type"]),
        ({"more": [1, 2]}, ["new.parquet: columns more"]),
    ],
)
def test_tables_are_compared_by_their_columns(tmp_path, columns, found):
    first = {"text": ["a", "b"], "score": [float("nan"), 0.0], "seconds": [1.0, 2.0]}
    old = _table(tmp_path / "old.parquet", **first)
    new = _table(tmp_path / "new.parquet", **{**first, **columns})
    said = differences(old, new)
    assert len(said) == len(found)
    assert all(part in text for part, text in zip(found, said, strict=True))


def test_folders_are_compared_file_by_file(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text("1")
        (tmp_path / name / "SHA256SUMS").write_text(name)
        _table(tmp_path / name / "training.parquet", step=[1])
    old, new = tmp_path / "old", tmp_path / "new"
    assert differences(old, new) == []
    (new / "weights").write_text("2")
    (new / "more").write_text("")
    assert differences(old, new) == ["more: on one side only", "weights: other bytes"]
    assert differences(old, tmp_path / "none") == ["none: a folder on one side only, or missing"]


# ---- what is made again, and in which order ------------------------------------------------------


def _made(kind, name, *parents, unit="x"):
    return {
        **{"experiment": "e", "kind": kind, "path": f"{kind}/{name}", "digest": name},
        **{"units": {unit: 1}, "parents": list(parents)},
    }


MADE = [
    _made("prompts", "p"),
    _made("responses", "r", "p", unit="y"),
    _made("metrics", "m", "r", "p"),
    _made("shift", "s", "r", "p", unit="y"),
    _made("table statistics", "t", "m", unit="z"),
]


def test_nothing_is_made_in_one_run_with_what_it_is_made_from():
    found = [[entry["digest"] for entry in batch] for batch in evidence.batches(MADE, MADE)]
    assert found == [["p"], ["r"], ["m", "s"], ["t"]]
    ends = [entry for entry in MADE if entry["digest"] in "pst"]
    found = [[entry["digest"] for entry in batch] for batch in evidence.batches(ends, MADE)]
    assert found == [["p"], ["s", "t"]]


def test_no_batch_of_the_real_evidence_holds_what_another_part_of_it_is_made_from(repository):
    made = evidence.parents_first(inventory())
    behind = {}
    for entry in made:
        assert behind.keys() >= {*entry["parents"]}
        above = (behind[parent] | {parent} for parent in entry["parents"])
        behind[entry["digest"]] = frozenset().union(*above)
    found = evidence.batches(made, made)
    assert sum(map(len, found)) == len(made)
    for batch in found:
        together = {entry["digest"] for entry in batch}
        assert all(together.isdisjoint(behind[digest]) for digest in together)


def test_what_is_made_again_is_all_that_is_behind_a_unit():
    assert evidence.remade("z", MADE) == ["table statistics"]
    assert evidence.remade("y", MADE) == ["responses", "metrics", "shift", "table statistics"]


def test_a_unit_is_settled_by_what_can_be_compared_and_raised_by_what_differs():
    found = evidence.Evidence(compared=MADE[:2], differing={"responses/r": ["column text"]})
    assert [found.changed(unit) for unit in "xyz"] == [False, True, False]
    assert [found.settles(unit) for unit in "xyz"] == [True, True, False]
    found.other = MADE[4:]
    assert found.settles("z")
    assert found.changed("z"), "its tables have other names, so nothing shows that they are equal"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# C\n\n## Unreleased\n\n- a\n", "# C\n\n## Unreleased\n\n- a\n- b\n"),
        ("# C\n\n## 2\n\n- a\n\n## 1\n\n- c\n", "# C\n\n## 2\n\n- a\n- b\n\n## 1\n\n- c\n"),
    ],
)
def test_a_line_goes_to_the_end_of_the_newest_section(tmp_path, text, expected):
    path = tmp_path / "CHANGELOG.md"
    path.write_text(text)
    evidence._note(path, ["- b\n"])
    assert path.read_text() == expected


# ---- the endpoint --------------------------------------------------------------------------------


def test_the_endpoint_answers_equal_requests_equally_and_judges_in_the_form_it_is_shown():
    aspect = {"name": "depth", "says": ["1", "2"], "values": [1, 2]}
    shown = Form({"aspects": [aspect]}).in_words()
    messages = [{"role": "system", "content": f"{{case}} {shown}"}]
    with loopback.serving() as url:
        said = [_post(f"{url}/chat/completions", {"messages": messages, "n": n}) for n in (1, 1, 2)]
        text = _post(f"{url}/completions", {"prompt": "Why?"})["choices"][0]["text"]
    assert said[0] == said[1] != said[2]
    verdict = json.loads(said[0]["choices"][0]["message"]["content"])
    assert verdict["depth"]["score"] in ("1", "2")
    assert text.startswith("This is answer ")


def _post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read())


# ---- the command ---------------------------------------------------------------------------------

TINY = {
    "title": "Two arms without weights",
    "prompts": [{"dataset": "smoke-forbidden", "take": 2, "sample": 0}],
    "baseline": "a",
    "decoding": {"max_new_tokens": 12},
    "engine": {"name": "fake", "dtype": "float32"},
    "embedder": None,
    "arms": [{"name": "a", "model": "tiny-base", "method": {"kind": "zero-shot"}}],
    "judges": [{"name": "fake", "judge": "fake", "rubrics": ["judge/safety"]}],
}
ORIGIN = {"user.name": "A", "user.email": "a@example.org"}


class Copy:
    """A copy of the repository under git, whose evidence is one tiny experiment."""

    def __init__(self, folder):
        self.folder = copy_repository(folder)
        shutil.rmtree(folder / "config/evidence")
        for name in ("smoke", "smoke-lfm"):  # of the second nothing is left to be made
            path = folder / f"config/experiments/{name}.yaml"
            path.write_text(yaml.safe_dump({"name": name, **TINY}))
        (folder / ".gitignore").write_text("results/\n.snakemake/\n__pycache__/\n")
        (folder / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n- Nothing.\n")
        (folder / "workflow/stages.lock").unlink()
        self.git("init", "--quiet")
        self.commit()
        # Without a lock there is nothing to compare with.
        assert "metrics: new, version 1" in self.stages()
        self.commit()

    def git(self, *arguments):
        settings = [part for key, value in ORIGIN.items() for part in ("-c", f"{key}={value}")]
        run = ["git", *settings, *arguments]
        subprocess.run(run, cwd=self.folder, check=True, capture_output=True)

    def commit(self):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "All")

    def stages(self, *arguments, status=0):
        """Run the command; returns what it printed."""
        run = subprocess.run(
            [sys.executable, "-m", "alignlab.cli", "stages", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder / "workflow")},
            capture_output=True,
            text=True,
        )
        printed = run.stdout + run.stderr
        assert run.returncode == status, printed
        return printed

    def edit(self, name, old, new):
        path = self.folder / "workflow/alignlab" / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def digests(self):
        """Kinds of what is planned → digests."""
        found = {}
        for made in json.loads(self.stages("--list")):
            found.setdefault(made["kind"], set()).add(made["digest"])
        return found

    @property
    def lock(self):
        return read_lock(self.folder / "workflow/stages.lock")


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    return Copy(tmp_path_factory.mktemp("stages"))


def test_equal_tables_keep_a_version_others_raise_it_and_without_any_it_stays(copied):
    before, known = copied.digests(), copied.lock
    assert copied.stages("--check") == ""
    future = "from __future__ import annotations\n"
    copied.edit("judging/fake_judge.py", future, f"{future}\nUNUSED = 1\n")
    copied.edit("metrics/measure.py", '"num_words": ', '"num_words": 1 + ')
    copied.edit("engines/vllm_engine.py", future, f"{future}\nUNUSED = 1\n")
    moved = {"judge fake", "metrics", "engine vllm", "engine check"}
    behind = copied.stages("--check", status=1)
    assert "engine check, engine vllm, judge fake, metrics; run `make stages`" in behind

    printed = copied.stages(status=1)
    assert "judge fake: version 1 as before: 1 made again, all equal" in printed
    assert "metrics: version 2, was 1" in printed
    assert "column value" in printed
    assert "engine vllm: needs .venv-vllm, which `make vllm` makes" in printed
    lock = copied.lock
    assert {unit: recorded.version for unit, recorded in lock.items() if recorded.version > 1} == {
        "metrics": 2
    }
    assert {unit for unit in lock if lock[unit] != known[unit]} == moved - {
        *("engine vllm", "engine check")
    }
    changelog = (copied.folder / "CHANGELOG.md").read_text()
    line = "- Code unit `metrics` computes other values, so it is at version 2. Made again: metrics"
    assert changelog.endswith(f"- Nothing.\n{line}, table statistics.\n")

    after = copied.digests()
    other = {kind for kind in before if before[kind] != after[kind]}
    assert other == {"metrics", "table statistics"}
    with pytest.raises(AssertionError, match="has changes that are not committed"):
        copied.stages()


def test_outside_git_there_is_nothing_to_compare_with(tmp_path):
    with pytest.raises(AlignlabError, match="it needs the git checkout"):
        evidence.update(tmp_path, {})
