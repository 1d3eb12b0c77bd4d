"""The smoke experiment from nothing to a report, by the real Snakemake."""

import json
import shutil
from statistics import fmean

import pytest

from alignlab.core import tables

FOLDERS = {
    "prompts": "prompts",
    "responses": "responses",
    "metrics": "metrics",
    "shift": "token_shift",
    "controls": "responses",
    "judgements": "judgements",
    "preferences": "preferences",
}


def test_every_artefact_is_a_valid_table(finished):
    store = finished.folder / "results" / "store"
    for folder, name in FOLDERS.items():
        files = list((store / folder).glob("*.parquet"))
        assert files
        for file in files:
            table = tables.read(name, file)
            digest = file.stem.rpartition("-")[2]
            assert table.schema.metadata[b"alignlab.digest"].decode() == digest
            assert tables.spec_of(file)["digest"] == digest


def test_every_prompt_is_answered_in_every_turn_and_sample(finished):
    rows = {}
    for file in (finished.folder / "results" / "store" / "responses").glob("*.parquet"):
        for row in tables.rows("responses", file):
            rows.setdefault(row["arm"], []).append(row)
    # Four questions, one of them with two turns, and two forbidden ones.
    assert {arm: len(found) for arm, found in rows.items()} == {
        "zero-shot": 7,
        "urial-k3-guided": 7,
        "urial-k1-no-system": 7,
        "tuned-chat": 7,
        "chat-sampled": 14,
    }
    for found in rows.values():
        assert all(row["finish_reason"] in ("stop", "eos", "length") for row in found)
        assert all(row["num_tokens"] == len(row["token_ids"]) for row in found)


def test_every_token_of_the_tuned_model_is_scored_in_both_pairs(finished):
    store = finished.folder / "results" / "store"
    (responses,) = (store / "responses").glob("tuned-chat-*.parquet")
    answers = {
        (row["prompt_id"], row["turn"]): row["token_ids"]
        for row in tables.rows("responses", responses)
    }
    assert any(answers.values())
    for file in (store / "shift").glob("*.parquet"):
        scored = {key: [] for key in answers}
        for row in tables.rows("token_shift", file):
            scored[row["prompt_id"], row["turn"]].append(row["token_id"])
            assert row["kl_aligned_base"] >= 0
        assert scored == answers


def test_every_answer_of_a_judged_arm_is_scored_on_every_aspect_that_applies(finished):
    rows = {}
    for file in (finished.folder / "results/store/judgements").glob("*.parquet"):
        for row in tables.rows("judgements", file):
            rows.setdefault(row["arm"], []).append(row)
    # Of seven answers to each arm, five are to questions, with five aspects, and two are not.
    assert {len(rows[arm]) for arm in ("zero-shot", "tuned-chat")} == {5 * 5 + 2}
    assert {"other-answer", "shuffled-words", "refusal", "compliance"} <= rows.keys()
    assert all(row["status"] == "scored" for found in rows.values() for row in found)


def test_every_arm_has_the_scores_of_its_own_answers(finished):
    statistics = finished.folder / "results/smoke/tables/statistics.parquet"
    scores = {arm: [] for arm in ("zero-shot", "tuned-chat")}
    for file in (finished.folder / "results/store/judgements").glob("*.parquet"):
        for row in tables.rows("judgements", file):
            if row["aspect"] == "helpfulness" and row["arm"] in scores:
                scores[row["arm"]].append((row["prompt_id"], row["score"]))
    assert scores["zero-shot"] != scores["tuned-chat"]
    by_arm = {
        row["arm"]: row["mean"]
        for row in tables.rows("statistics", statistics)
        if row["metric"] == "fake:helpfulness" and row["dataset"] == row["category"] == "all"
    }
    for arm, found in scores.items():
        prompts = {name: [s for n, s in found if n == name] for name, _ in found}
        assert by_arm[arm] == pytest.approx(fmean(fmean(each) for each in prompts.values()))


def test_no_batch_is_left_over(finished):
    store = finished.folder / "results" / "store"
    assert not list(store.glob("aside/*"))
    assert not list(store.glob("responses/*.parts/*"))


def test_logs_open_with_the_first_prompt(finished):
    logs = finished.folder / "results" / "logs" / "generate_responses"
    (log,) = logs.glob("urial-k3-guided-*.log")
    assert "first prompt of arm urial-k3-guided:\n# Instruction" in log.read_text()


def test_the_manifest_says_where_numbers_come_from(finished):
    manifest = json.loads((finished.folder / "results/smoke/manifest.json").read_text())
    assert {"alignlab", "torch", "transformers", "python"} <= manifest["versions"].keys()
    assert all((finished.folder / entry["path"]).exists() for entry in manifest["artefacts"])
    assert manifest["first_prompts"].keys() == {arm["name"] for arm in manifest["arms"]}
    assert {t["rule"] for t in manifest["timings"]} >= {"generate_responses", "fetch_model"}


@pytest.mark.parametrize("name", ["index.html", "shift.html"])
def test_the_report_is_offline(finished, name):
    page = (finished.folder / "results/smoke/report" / name).read_text(encoding="utf-8")
    for address in ('src="http', 'href="http', "url(http", "@import"):
        assert address not in page


def test_no_job_but_the_last_needs_wandb(finished):
    receipt = json.loads((finished.folder / "results/smoke/wandb.json").read_text())
    assert receipt["mode"] == "offline"
    assert (finished.folder / receipt["place"]).is_dir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.update(sed=1), "smoke.yaml: sed: unknown key"),
        (lambda e: e["arms"][0].update(model="none"), "'none' is not in the catalog"),
        (lambda e: e["prompts"][0].update(dataset="none"), "'none' is not in the catalog"),
        (lambda e: e["arms"][1]["method"].update(k=99), "k: 99 examples wanted, the file has 8"),
    ],
)
def test_a_mistake_ends_the_run_before_any_job(checkout, change, message):
    checkout.edit("config/experiments/smoke.yaml", change)
    printed = checkout.snakemake("--config", "experiment=smoke", check=False)
    assert message in printed
    assert "Traceback" not in printed
    assert "Job stats" not in printed


def test_a_damaged_table_is_named_by_the_job_that_reads_it(checkout):
    (file,) = (checkout.folder / "results/store/responses").glob("zero-shot-*.parquet")
    file.write_bytes(file.read_bytes()[:100])
    (metrics,) = (checkout.folder / "results/store/metrics").glob("zero-shot-*.parquet")
    metrics.unlink()
    shutil.rmtree(checkout.folder / "results/smoke")
    printed = checkout.snakemake("--config", "experiment=smoke", check=False)
    assert f"{file.name}: damaged or truncated Parquet file" in printed
