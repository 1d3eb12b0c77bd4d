"""An arm behind an endpoint in a real run: what failed is asked again, and all that hangs from it
is made again; nothing else is.
"""

from collections import Counter

import pytest
import yaml
from endpoint import completion, fails, once, question, says, serving

from alignlab.core import tables

EXPERIMENT = {
    "name": "paid",
    "title": "An arm behind an endpoint",
    "prompts": [{"dataset": "smoke-questions", "take": 3}],
    "baseline": "local",
    "decoding": {"max_new_tokens": 12},
    "engine": {"name": "fake", "dtype": "float32"},
    "embedder": None,
    "arms": [
        {"name": "local", "model": "tiny-base", "method": {"kind": "zero-shot"}},
        {"name": "gpt", "model": "gpt", "method": {"kind": "chat"}, "max_usd": 1},
    ],
    "judges": [{"name": "fake", "judge": "fake", "rubrics": ["judge/quality"]}],
}
STATISTICS = "results/paid/tables/statistics.parquet"
TWO_TURNS = "How"
AFTER_IT = {"measure_responses", "judge_responses", "summarise_metrics", "build_report"}


@pytest.fixture
def paid(copied):
    """A checkout with the experiment; returns it and a function that runs it."""
    checkout = copied()
    path = checkout.folder / "config/experiments/paid.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT))
    return checkout


def serve_at(checkout, url, key="PAID_KEY"):
    price = {"prompt": 1, "completion": 2}
    source = {"kind": "api", "model": "gpt-x", "base_url": url, "key": key, "price": price}
    entry = {"source": {**source, "retries": 0}, "role": "aligned", "license": "terms"}
    checkout.edit("config/catalog/models.yaml", lambda models: models.update(gpt=entry))


def rows(checkout, stage, name):
    (file,) = (checkout.folder / f"results/store/{stage}").glob(f"{name}-*.parquet")
    return list(tables.rows(stage, file))


def coverage(checkout, metric):
    table = tables.rows("statistics", checkout.folder / STATISTICS)
    found = [row for row in table if row["metric"] == metric]
    return {row["arm"]: row["coverage"] for row in found if row["dataset"] == "all"}


def test_failed_calls_are_made_again_and_what_hangs_from_them(paid, monkeypatch):
    def plan(word):
        """The question that has a second turn fails at first."""
        good = says(completion(f"An answer to {word}."))
        return once(fails(500), good) if word == TWO_TURNS else good

    with serving(plan) as server:
        serve_at(paid, server.url)
        assert paid.planned("paid")["gather_responses"] == 2, "a dry run needs no key"
        monkeypatch.delenv("PAID_KEY", raising=False)
        printed = paid.snakemake("--config", "experiment=paid", check=False)
        assert "responses gpt: gpt-x" in printed
        assert "PAID_KEY is not set" in printed
        assert not (paid.folder / "results/store/prompts").exists(), "before any job"

        monkeypatch.setenv("PAID_KEY", "sk-loopback-19")
        paid.snakemake("--config", "experiment=paid", "--", STATISTICS)
        assert server.calls.total() == 3, "after a failure the second turn is not asked"
        responses = rows(paid, "responses", "gpt")
        ended = Counter(row["finish_reason"] for row in responses)
        assert ended == {"eos": 2, "error": 2}
        judged = Counter(row["status"] for row in rows(paid, "judgements", "fake.gpt"))
        assert judged["scored"] == judged["skipped"] > 0
        assert coverage(paid, "num_words") == {"gpt": 0.5, "local": 1}
        due = paid.planned("paid")
        assert due["generate_responses"] == due["gather_responses"] == 1
        assert due.keys() >= AFTER_IT - {"build_report"}, "there is none yet"

        paid.snakemake("--config", "experiment=paid")
        assert server.calls == {TWO_TURNS: 2, "And": 1, "Why": 1, "Sort": 1}
        assert {row["finish_reason"] for row in rows(paid, "responses", "gpt")} == {"eos"}
        judged = rows(paid, "judgements", "fake.gpt")
        assert {row["status"] for row in judged} == {"scored"}
        assert coverage(paid, "num_words") == {"gpt": 1, "local": 1}
        serve_at(paid, server.url, key=None)
        assert paid.planned("paid") == {}, "another key asks nothing"
    (models,) = (paid.folder / "results/store/models").iterdir()
    assert models.name.startswith("tiny-base")
    kept = (paid.folder / "results/store/replies/responses.gpt.jsonl").read_text()
    assert "sk-loopback-19" not in kept
    manifest = (paid.folder / "results/paid/manifest.json").read_text()
    assert "sk-loopback-19" not in manifest
    assert question(server.bodies[0]) in yaml.safe_load(manifest)["first_prompts"]["gpt"]


def test_what_hangs_from_mended_answers_is_made_in_whatever_run_comes_next(copied, monkeypatch):
    checkout = copied()
    arms = [arm for arm in EXPERIMENT["arms"] if arm["name"] == "gpt"]
    bare = {**EXPERIMENT, "name": "bare", "baseline": "gpt", "arms": arms, "judges": []}
    path = checkout.folder / "config/experiments/bare.yaml"
    path.write_text(yaml.safe_dump(bare))
    monkeypatch.setenv("PAID_KEY", "sk-loopback-19")
    good = says(completion("An answer."))
    with serving(lambda word: once(fails(500), good) if word == TWO_TURNS else good) as server:
        serve_at(checkout, server.url)
        checkout.snakemake("--config", "experiment=bare")
        checkout.snakemake("--config", "experiment=bare", "--until", "gather_responses")
        assert {row["finish_reason"] for row in rows(checkout, "responses", "gpt")} == {"eos"}
        assert checkout.planned("bare").keys() >= AFTER_IT - {"judge_responses"}
        checkout.snakemake("--config", "experiment=bare")
        assert checkout.planned("bare") == {}
    monkeypatch.delenv("PAID_KEY")
    path.write_text(yaml.safe_dump({**bare, "title": "Reworded"}))
    checkout.snakemake("--config", "experiment=bare")
