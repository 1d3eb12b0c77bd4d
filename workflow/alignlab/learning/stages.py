"""How the steps of Learning from Mistakes become artefacts: mistakes, questions, training sets.

alignlab check lfm-demo                     # print the artefacts that these functions give
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from alignlab.answering.stages import Parents, prompts, responses
from alignlab.core.config import dump
from alignlab.learning.config import RECIPES, AnalysisConfig, MistakesConfig, TrainSetConfig
from alignlab.planning.artefact import Artefact
from alignlab.planning.digest import coded
from alignlab.prompting import prompt_files
from alignlab.prompting.prompt_files import resolved_method
from alignlab.tuning.config import TRAINERS, TunedConfig

if TYPE_CHECKING:
    from alignlab.experiment.plan import Plan


def mistakes(plan: Plan, entry: MistakesConfig) -> Artefact:
    """Bad answers that survive the filters."""
    asked = [prompts(plan, chosen) for chosen in entry.prompts]
    spec: dict[str, Any] = {"mistakes": entry.name}
    parents: Parents = {"prompts": asked}
    if entry.induced:
        parents["responses"] = responses(plan, entry.name, entry.induced, asked)
        spec["cue"] = resolved_method(entry.induced.method).get("guidance")
    return Artefact("mistakes", entry.name, coded(spec, "alignlab.learning.collect"), parents)


def questions(plan: Plan, entry: AnalysisConfig) -> Artefact:
    """What the analyst is asked, a prompt for every answer that is analysed."""
    spec = {"analysis": entry.name, "text": prompt_files.lfm_texts(entry.texts)[entry.ask]}
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
    return Artefact("questions", entry.name, coded(spec, "alignlab.learning.questions"), parents)


def analysis(plan: Plan, entry: AnalysisConfig) -> Artefact:
    """The analyst's answers."""
    return responses(plan, entry.name, entry, [questions(plan, entry)])


def trainset(plan: Plan, entry: TrainSetConfig) -> Artefact:
    """What a model is tuned on."""
    recipe = RECIPES[entry.recipe]
    spec: dict[str, Any] = {"trainset": entry.name, "recipe": entry.recipe}
    if entry.take:
        spec["take"] = entry.take
    if entry.mistakes:
        spec["seed"] = plan.experiment.seed
    if entry.texts:
        found = prompt_files.lfm_texts(entry.texts)
        spec["texts"] = {key: found[key] for key in recipe.texts}
    parents: Parents = {"answers": [prompts(plan, chosen) for chosen in entry.answers]}
    if entry.mistakes:
        parents["mistakes"] = plan.entry("mistakes", entry.mistakes)
    if entry.analyses:
        parents["responses"] = plan.entry("analyses", entry.analyses)
        if recipe.question:
            source = _named(plan.experiment.analyses, entry.analyses)
            spec["question"] = prompt_files.lfm_texts(source.texts)[recipe.question]
    return Artefact("trainsets", entry.name, coded(spec, "alignlab.learning.trainset"), parents)


def adapter(plan: Plan, entry: TunedConfig) -> Artefact:
    """A model's low-rank update, learnt from a training set."""
    spec: dict[str, Any] = {
        **dump(entry),
        "method": resolved_method(entry.method),
        "engine": dump(plan.experiment.engine, {"dtype"}),
        "seed": plan.experiment.seed,
    }
    if entry.chat_template:
        spec["chat_template"] = prompt_files.chat_template(entry.chat_template)
    modules = (entry.method.module, TRAINERS[entry.trainer].module)
    signed = coded(spec, "alignlab.tuning.finetune", *modules)
    parents: Parents = {
        "model": plan.model(entry.base),
        "trainset": plan.entry("trainsets", entry.trainset),
    }
    return Artefact("adapters", entry.name, signed, parents)


def _named(entries: Sequence[AnalysisConfig], name: str) -> AnalysisConfig:
    return next(entry for entry in entries if entry.name == name)
