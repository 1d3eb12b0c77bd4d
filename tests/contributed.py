"""Run what the worked examples of CONTRIBUTING.md added; prints what came of it, as JSON.

Runs in a copy of the repository that has them, as a process of its own, so that it imports that
copy's package. What an example needs of others (models, prompts) is made as in a run, by the jobs
of the plan.
"""

import json
from importlib import import_module
from pathlib import Path

from alignlab.cli import main
from alignlab.core import tables
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.experiment.results import units
from alignlab.planning.artefact import lineage
from alignlab.planning.fingerprint import code
from alignlab.planning.versions import LOCK, Recorded, lock_text

# Stage → module, class of its job, function.
WORK = {
    "models": ("sources.models", "FetchModelJob", "fetch_model"),
    "prompts": ("sources.datasets", "FetchPromptsJob", "fetch_prompts"),
    "mistakes": ("learning.collect", "CollectJob", "collect"),
    "trainsets": ("learning.recipes", "TrainsetJob", "build_trainset"),
    "adapters": ("tuning.fit", "TuneJob", "finetune"),
    "metrics": ("metrics.measure", "MeasureJob", "measure"),
    "judgements": ("judging.score_answers", "JudgementsJob", "judge_responses"),
    "word_counts": ("sources.word_counts", "CountWordsJob", "count_words"),
}
RUN = {"judgements": {"batch_size": 8}}
SAID = "The year was 1969."


def record_units():
    """A lock of the code as it is, as `make stages` would give new units their lines."""
    found = {name: code().fingerprint(unit.module, unit.entry) for name, unit in units().items()}
    lock = {name: Recorded(1, now, now) for name, now in found.items()}
    LOCK.write_text(lock_text(lock), encoding="utf-8")


def make(artefact):
    """Make an artefact and all that it is made from; answers are written, not generated."""
    for each in lineage([artefact]):
        if each.path.exists():
            continue
        if each.stage == "responses":
            answer(each)
            continue
        module, kind, function = WORK[each.stage]
        room = import_module(f"alignlab.{module}")
        job = getattr(room, kind).model_validate_json(each.job(**RUN.get(each.stage, {})))
        getattr(room, function)(job)
    return artefact.path


def answer(responses):
    """The same answer to every question."""
    row = {
        "arm": responses.name,
        "model": "tiny-gemma",
        "turn": 0,
        "sample": 0,
        "prompt_ids": [1],
        "raw_text": SAID,
        "text": SAID,
        "token_ids": [2],
        "finish_reason": "eos",
        "trimmed": "",
        "num_tokens": 1,
        "num_words": 4,
        "seed": None,
    }
    asked = [r for p in responses.parent("prompts") for r in tables.rows("prompts", make(p))]
    rows = [{**row, "prompt_id": prompt["prompt_id"]} for prompt in asked]
    tables.write("responses", responses.path, rows, responses.signed_spec)


def rendered(plan):
    """A prompt of the new method, and what ends its answer."""
    from alignlab.prompting.build import build_prompter

    (arm,) = (arm for arm in plan.experiment.arms if arm.name == "alpaca")
    prompter = build_prompter(arm.method.resolved(), None, None)
    return [prompter.render(["Hi?", "And?"], ["Yes."]), *prompter.stopping.strings]


def found(plan):
    """What each example made."""
    find = {(artefact.stage, artefact.name): artefact for artefact in plan}
    measured = tables.rows("metrics", make(plan.metrics["zero-shot"]))
    examples = tables.rows("trainset", make(find["trainsets", "good-last"]))
    fetched = tables.rows("prompts", make(find["prompts", "two-questions"]))
    judged = tables.rows("judgements", make(find["judgements", "length.zero-shot"]))
    steps = make(find["adapters", "tiny-ipo"]) / "training.parquet"
    counts = find["word_counts", "two-questions"]
    return {
        "prompting method": rendered(plan),
        "metric": [row["value"] for row in measured if row["metric"] == "digits"],
        "recipe": [[row["markers"], row["completion"]] for row in examples],
        "dataset source": [row["turns"] for row in fetched],
        "judge kind": [[row["status"], row["score"]] for row in judged],
        "trainer": [row["loss"] for row in tables.rows("training", steps)],
        "stage": [str(counts.path), json.loads((make(counts) / "words.json").read_text("utf-8"))],
    }


if __name__ == "__main__":
    record_units()
    status = main(["check"])
    results = {} if status else found(Plan(load_experiment("smoke")))
    Path("contributed.json").write_text(json.dumps({"check": status, **results}), "utf-8")
