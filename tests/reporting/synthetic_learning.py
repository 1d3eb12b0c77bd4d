"""Scenarios, a study, training sets and tuned models for the synthetic experiment; invented."""

import random

import numpy as np
from synthetic import ARMS, NOTE, Study

from alignlab.core import schemas, tables
from alignlab.learning.config import ScenarioConfig, StudyCard
from alignlab.learning.discrimination import study_rows
from alignlab.reporting.arms.contrasts import contrast_rows
from alignlab.reporting.arms.summarise import scenario_rows
from alignlab.reporting.arms.values import Values
from alignlab.reporting.config import ContrastConfig

PROMPTS = 80
MEASURES = (
    ("Attack succeeds", "hijacked", "hijack-same", "lower"),
    ("Attack succeeds, other topics", "hijacked", "hijack-other", "lower"),
    ("Refuses look-alikes", "refusal", "look-alikes", "lower"),
    ("Relevance, ordinary", "relevance", "mt-bench", "higher"),
    ("Words, ordinary", "num_words", "mt-bench", "none"),
)
ANALYSES = ({"name": "free", "ask": "unguided"}, {"name": "led", "ask": "guided"})
KINDS = {
    "sft": {"answer": 64, "good": 64},
    "lfm": {"answer": 64, "analysis": 128, "good": 64},
    "coh": {"answer": 64, "hindsight": 128},
}


def scenarios(arms: list[str]) -> list[dict]:
    keys = ("label", "metric", "dataset", "better")
    measures = [dict(zip(keys, measure, strict=True)) for measure in MEASURES]
    first = {"name": "attack", "title": "Scenario 2: an aligned model under a new attack"}
    second = {"name": "red-team", "title": "Scenario 1: <b>an unaligned</b> model"}
    return [
        first | {"arms": arms, "against": arms[:2], "measures": measures},
        second | {"arms": arms[:3], "against": arms[:1], "measures": measures[2:4]},
    ]


def contrasts(arms: list[str]) -> list[ContrastConfig]:
    named = {"arm": arms[-2:], "against": arms[:2], "metrics": ["refusal", "num_words"]}
    return [
        ContrastConfig.model_validate({"name": "the-claim"} | named),
        ContrastConfig.model_validate({"name": "no-prompt"} | named | {"metrics": "echo"}),
    ]


def values(arms: list[str]) -> Values:
    """Arms differ in the share of ones and in the mean, more the later they come."""
    datasets = np.array([measure[2] for measure in MEASURES[:4] for _ in range(PROMPTS)])
    names = sorted({measure[1] for measure in MEASURES})
    dice = np.random.default_rng(5)
    luck = dice.random((len(names), len(datasets)))
    cube = np.empty((len(arms), len(names), len(datasets), 1))
    for a, m in np.ndindex(len(arms), len(names)):
        drift = a / len(arms)
        noise = 0.7 * luck[m] + 0.3 * dice.random(len(datasets))
        binary = names[m] in ("hijacked", "refusal")
        found = noise < 0.75 - 0.6 * drift if binary else 0.4 + 0.2 * noise + 0.02 * drift
        cube[a, m, :, 0] = found * (200 if names[m] == "num_words" else 1)
    expected = np.ones(cube.shape, dtype=bool)
    clusters = np.arange(cube.shape[2])
    return Values(tuple(arms), tuple(names), cube, expected, datasets, datasets, clusters)


def study_table() -> list[dict]:
    """Unguided analyses that know a little, guided ones that call nearly everything bad."""
    dice = random.Random(3)
    bad = {f"hijack-same/{i:02}": i < 44 for i in range(PROMPTS)}
    free = {key: truth if dice.random() < 0.66 else not truth for key, truth in bad.items()}
    free |= dict.fromkeys(list(bad)[::9])
    led = {key: truth if dice.random() < 0.2 else True for key, truth in bad.items()}
    arm = ARMS[0][0]
    study = StudyCard(name="own-answers", arm=arm, datasets=None, analyses=ANALYSES)
    return study_rows(study, bad, {"free": free, "led": led}, 0, {name: name for name in bad})


def trainset_rows() -> list[dict]:
    return [
        {"trainset": name, "kind": kind, "examples": count, "share": count / sum(kinds.values())}
        for name, kinds in KINDS.items()
        for kind, count in kinds.items()
    ]


def training_rows(steps: int) -> list[dict]:
    empty = dict.fromkeys(schemas.COLUMNS["training"])
    return [
        empty | {"step": i + 1, "loss": 2.5 * 0.98**i, "seconds": 1.5 * (i + 1)}
        for i in range(steps)
    ]


def add_learning(made: Study) -> None:
    """Write the further tables of an experiment and add them to the arguments of its report."""
    arms = [arm["name"] for arm in made.arguments["spec"]["arms"]]
    wanted = scenarios(arms)
    asked = [ScenarioConfig.model_validate(each) for each in wanted]
    made.write("scenarios", list(scenario_rows(values(arms), asked, 0)))
    made.write("contrasts", list(contrast_rows(values(arms), contrasts(arms), 0)))
    paths = {
        "discrimination": made.write("discrimination", study_table()),
        "trainsets": made.write("trainsets", trainset_rows()),
    }
    tuned = [
        {"name": f"tuned-{name}", "base": "m", "trainset": name, "trainer": "sft"} for name in KINDS
    ]
    adapters = {entry["name"]: made.folder / entry["name"] for entry in tuned}
    for folder in adapters.values():
        tables.write("training", folder / "training.parquet", training_rows(40), NOTE)
    spec = {"scenarios": wanted, "tuned": tuned, "contrasts": True}
    made.add(spec, adapters=adapters, tables=paths)
