"""Four prompts of the demo on real weights: the main job, small enough for every test run."""

import pytest
import yaml

from alignlab.core import tables
from alignlab.planning.artefact import STORE

QUESTIONS = ("mt-bench/81", "mt-bench/143", "mt-bench/151", "mt-bench/160")


@pytest.fixture(scope="module")
def answers(copied, real_model):
    """Answers of the base model zero-shot and with URIAL K=3, by arm and prompt."""
    checkout = copied()
    folder, model = checkout.folder, real_model("gemma-3-270m")
    (folder / STORE / "models").mkdir(parents=True)
    (folder / STORE / "models" / model.name).symlink_to(model)
    experiment = yaml.safe_load((folder / "config/experiments/demo.yaml").read_text())
    arms = [arm for arm in experiment["arms"] if arm["name"] in ("zero-shot", "urial-k3")]
    lessons = ("tuned", "trainsets", "analyses", "mistakes")
    left_out = (*lessons, "pairs", "scenarios", "contrasts", "judges")
    experiment |= {"name": "real", "arms": arms, "embedder": None, **dict.fromkeys(left_out, ())}
    experiment["prompts"] = [{"dataset": "mt-bench", "ids": list(QUESTIONS), "turns": 1}]
    experiment["decoding"] = {"max_new_tokens": 32}
    path = folder / "real.yaml"
    path.write_text(yaml.safe_dump(experiment))
    checkout.snakemake("--config", f"experiment={path}", "--until", "gather_responses")
    rows = {}
    for arm in ("zero-shot", "urial-k3"):
        (file,) = (folder / STORE / "responses").glob(f"{arm}-*.parquet")
        rows[arm] = {row["prompt_id"]: row for row in tables.rows("responses", file)}
    return rows


pytestmark = pytest.mark.real


def test_every_prompt_has_a_real_answer(answers):
    for rows in answers.values():
        assert rows.keys() == set(QUESTIONS)
        for row in rows.values():
            assert row["num_words"] >= 3
            assert row["finish_reason"] in ("stop", "eos", "length")


def test_urial_gives_the_base_model_a_warm_opening(answers):
    """What the prompt is for: no zero-shot answer greets, most URIAL answers do."""
    greeted = {
        arm: sum(row["text"].startswith(("Hello", "Sure", "Of course")) for row in rows.values())
        for arm, rows in answers.items()
    }
    assert greeted["zero-shot"] == 0
    assert greeted["urial-k3"] >= 3


def test_every_prompt_of_an_arm_begins_with_the_same_long_prefix(answers):
    ids = [row["prompt_ids"] for row in answers["urial-k3"].values()]
    assert len({tuple(prompt[:900]) for prompt in ids}) == 1
    assert all(prompt[0] == 2 and prompt.count(2) == 1 for prompt in ids)
