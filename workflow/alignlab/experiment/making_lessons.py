"""How the steps of Learning from Mistakes become artefacts: mistakes, questions, training sets.

alignlab check lfm-demo                     # print the artefacts that these functions give
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from alignlab.experiment import texts
from alignlab.experiment.artefact import Artefact
from alignlab.experiment.learning import Analysis, Mistakes, TrainSet
from alignlab.experiment.making import Parents, prompts, responses
from alignlab.experiment.specs import coded, dump, resolved_method
from alignlab.experiment.tuning import Tuned

if TYPE_CHECKING:
    from alignlab.experiment.plan import Plan

QUESTIONS = {"lfm": "unguided", "lfm-shuffled": "unguided", "lfm-guided": "guided"}
"""Recipe → the text under which its analyses stand in training (LfM step 3 is unguided)."""

TEXTS = {"coh": ("good_marker", "bad_marker"), "lfm-tag": ("unguided", "verdict")}
"""Recipe → the texts that it reads besides, so that editing another one changes nothing."""


def mistakes(plan: Plan, entry: Mistakes) -> Artefact:
    """Bad answers that survive the filters."""
    asked = [prompts(plan, chosen) for chosen in entry.prompts]
    spec: dict[str, Any] = {"mistakes": entry.name}
    parents: Parents = {"prompts": asked}
    if entry.induced:
        parents["responses"] = responses(plan, entry.name, entry.induced, asked)
        spec["cue"] = resolved_method(entry.induced.method).get("guidance")
    return Artefact("mistakes", entry.name, coded(spec, "mistakes"), parents)


def questions(plan: Plan, entry: Analysis) -> Artefact:
    """What the analyst is asked, a prompt for every answer that is analysed."""
    spec = {"analysis": entry.name, "text": texts.lfm_texts(entry.texts)[entry.ask]}
    parents: Parents
    if entry.of in plan.experiment.arm_names:
        parents = {"responses": plan.arm(entry.of), "prompts": plan.prompts_of(entry.datasets)}
    elif entry.ask == "revision":
        critiques = _named(plan.experiment.analyses, entry.of)
        parents = {
            "mistakes": plan.entry("mistakes", critiques.of),
            "responses": plan.entry("analyses", entry.of),
        }
    else:
        parents = {"mistakes": plan.entry("mistakes", entry.of)}
    return Artefact("questions", entry.name, coded(spec, "questions"), parents)


def analysis(plan: Plan, entry: Analysis) -> Artefact:
    """The analyst's answers."""
    return responses(plan, entry.name, entry, [questions(plan, entry)])


def trainset(plan: Plan, entry: TrainSet) -> Artefact:
    """What a model is tuned on."""
    spec: dict[str, Any] = {"trainset": entry.name, "recipe": entry.recipe}
    if entry.take:
        spec["take"] = entry.take
    if entry.mistakes:
        spec["seed"] = plan.experiment.seed
    if entry.texts:
        found = texts.lfm_texts(entry.texts)
        spec["texts"] = {key: found[key] for key in TEXTS[entry.recipe]}
    parents: Parents = {"answers": [prompts(plan, chosen) for chosen in entry.answers]}
    if entry.mistakes:
        parents["mistakes"] = plan.entry("mistakes", entry.mistakes)
    if entry.analyses:
        parents["responses"] = plan.entry("analyses", entry.analyses)
        if entry.recipe in QUESTIONS:
            source = _named(plan.experiment.analyses, entry.analyses)
            spec["question"] = texts.lfm_texts(source.texts)[QUESTIONS[entry.recipe]]
    return Artefact("trainsets", entry.name, coded(spec, "trainsets"), parents)


def adapter(plan: Plan, entry: Tuned) -> Artefact:
    """A model's low-rank update, learnt from a training set."""
    spec: dict[str, Any] = {
        **dump(entry),
        "method": resolved_method(entry.method),
        "engine": dump(plan.experiment.engine, {"dtype"}),
        "seed": plan.experiment.seed,
    }
    if entry.chat_template:
        spec["chat_template"] = texts.chat_template(entry.chat_template)
    signed = coded(spec, "tuning", entry.method.unit, f"trainer {entry.trainer}")
    parents: Parents = {
        "model": plan.model(entry.base),
        "trainset": plan.entry("trainsets", entry.trainset),
    }
    return Artefact("adapters", entry.name, signed, parents)


def _named(entries: Sequence[Analysis], name: str) -> Analysis:
    return next(entry for entry in entries if entry.name == name)
