"""Every way of learning from mistakes on tiny models, by the real Snakemake."""

import pytest

from alignlab.core import tables

KINDS = {
    "sft": {"answer", "good"},
    "coh": {"answer", "hindsight"},
    "critique-revise": {"revision"},
    "lfm": {"answer", "good", "analysis"},
    "lfm-guided": {"good", "analysis"},
    "lfm-tag": {"good", "verdict"},
    "lfm-shuffled": {"good", "analysis"},
    "pairs": {"preference"},
}


@pytest.fixture(scope="module")
def learnt(copied):
    """A checkout whose smoke-lfm experiment has been run."""
    checkout = copied()
    checkout.snakemake("--config", "experiment=smoke-lfm")
    return checkout.folder / "results"


def test_every_recipe_gives_its_kinds_of_example(learnt):
    found = {}
    for row in tables.rows("trainsets", learnt / "smoke-lfm/tables/trainsets.parquet"):
        found.setdefault(row["trainset"], set()).add(row["kind"])
    assert found == KINDS


def test_a_tuning_waits_for_its_own_set_only(learnt, copied):
    adapter = next((learnt / "store/adapters").glob("tiny-sft-*")).relative_to(learnt.parent)
    planned = copied().planned("smoke-lfm", [adapter])
    assert planned["tune_model"] == planned["build_trainset"] == 1
    assert "ask_analyst" not in planned


def test_every_trainer_writes_an_adapter_and_a_row_a_step(learnt):
    folders = {path.name.rpartition("-")[0]: path for path in (learnt / "store/adapters").iterdir()}
    assert {name.removeprefix("tiny-") for name in folders} == {*KINDS, "dpo", "rlhf"} - {"pairs"}
    for folder in folders.values():
        assert (folder / "adapter_model.safetensors").exists()
        steps = list(tables.rows("training", folder / "training.parquet"))
        assert [row["step"] for row in steps] == list(range(1, len(steps) + 1))
    policy = list(tables.rows("training", folders["tiny-rlhf"] / "training.parquet"))
    assert all(row["reward"] is not None and row["kl"] is not None for row in policy)


def test_the_scenario_compares_every_arm_with_the_untuned_one_and_with_sft(learnt):
    rows = list(tables.rows("scenarios", learnt / "smoke-lfm/tables/scenarios.parquet"))
    arms = {row["arm"] for row in rows if row["against"] is None}
    assert arms == {"untuned", "sft", "coh.guided", "lfm.guided"}
    compared = {(row["arm"], row["against"]) for row in rows if row["against"]}
    assert {("lfm.guided", "untuned"), ("lfm.guided", "sft")} <= compared
    attacks = [row for row in rows if row["metric"] == "hijacked" and row["against"] is None]
    assert {row["n"] for row in attacks} == {2}


def test_the_study_has_both_analyses(learnt):
    rows = list(tables.rows("discrimination", learnt / "smoke-lfm/tables/discrimination.parquet"))
    assert {row["analysis"] for row in rows} == {"judged", "judged-guided"}


def test_an_evaluation_prompt_in_the_training_data_stops_before_tuning(copied):
    checkout = copied()

    def overlap(experiment):
        experiment["prompts"].append({"dataset": "pool", "take": 8, "sample": 0})

    checkout.edit("config/experiments/smoke.yaml", overlap)
    printed = checkout.snakemake(
        "--config", "experiment=smoke", "--until", "tune_model", check=False
    )
    assert "trainset pool: 8 examples share a question with the prompts that arms" in printed
    assert not list((checkout.folder / "results/store/adapters").glob("tiny-tuned*"))
