"""The artefacts of Learning from Mistakes: mistakes, questions, training sets, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from alignlab.learning.config import (
    RECIPES,
    AnalysisConfig,
    MistakesConfig,
    StudyCard,
    TrainSetConfig,
)
from alignlab.planning.artefact import Artefact, Stage
from alignlab.planning.forecast import QUESTION, ExpectedQuestion
from alignlab.planning.versions import Unit
from alignlab.prompting import prompt_files
from alignlab.sources.stages import stored_questions

# What it says of artefacts is in the specs.
CHANGES_NO_VALUE = True


def mistakes(
    entry: MistakesConfig, prompts: Sequence[Artefact], responses: Artefact | None
) -> Artefact:
    """Bad answers that survive the filters: of a model that was asked, or the rows' own."""
    spec: dict[str, Any] = {"mistakes": entry.name}
    parents: dict[str, Any] = {"prompts": prompts}
    if entry.induced:
        parents["responses"] = responses
        spec["cue"] = entry.induced.method.resolved().get("guidance")
    return Artefact(MISTAKES, entry.name, spec, parents)


def questions(entry: AnalysisConfig, parents: Mapping[str, Any]) -> Artefact:
    """What the analyst is asked, a prompt for every answer that is analysed.

    Args:
        entry: of the experiment.
        parents: `responses` and `prompts` of an arm; or `mistakes`, and for revisions `responses`,
            the critiques that are followed.
    """
    text = prompt_files.lfm_texts(entry.texts)[entry.ask]
    return Artefact(QUESTIONS_ASKED, entry.name, {"analysis": entry.name, "text": text}, parents)


def trainset(
    entry: TrainSetConfig,
    answers: Sequence[Artefact],
    mistakes: Artefact | None,
    analyses: Artefact | None,
    *,
    analysis_texts: str | None,
    seed: int,
) -> Artefact:
    """What a model is tuned on.

    Args:
        entry: of the experiment.
        answers: prompts tables with good answers.
        mistakes: the collection of mistakes, if it has one.
        analyses: the analyst's answers, if it has them.
        analysis_texts: the file of texts by which the analyst was asked.
        seed: of what is drawn among mistakes.
    """
    recipe = RECIPES[entry.recipe]
    spec: dict[str, Any] = {"trainset": entry.name, "recipe": entry.recipe}
    if entry.take:
        spec["take"] = entry.take
    if entry.texts:
        found = prompt_files.lfm_texts(entry.texts)
        spec["texts"] = {key: found[key] for key in recipe.texts}
    parents: dict[str, Any] = {"answers": answers}
    if mistakes:
        spec["seed"] = seed
        parents["mistakes"] = mistakes
    if analyses:
        parents["responses"] = analyses
    if analysis_texts and recipe.question:
        spec["question"] = prompt_files.lfm_texts(analysis_texts)[recipe.question]
    return Artefact(TRAINSETS, entry.name, spec, parents)


def checked_trainsets(
    experiment: str, trainsets: Mapping[str, Artefact], prompts: Sequence[Artefact], home: Path
) -> Artefact:
    """The table of training sets, checked against what arms are asked."""
    spec = {"experiment": experiment, "trainsets": list(trainsets)}
    parents: dict[str, Any] = {"trainsets": trainsets, "prompts": prompts}
    return Artefact(CHECKED_TRAINSETS, experiment, spec, parents, home=home)


def studies(
    experiment: str,
    cards: Sequence[StudyCard],
    parents: Mapping[str, Any],
    seed: int,
    home: Path,
) -> Artefact:
    """The studies of discrimination against generation.

    Args:
        experiment: its name.
        cards: of each study, in order of display.
        parents: `prompts`; `metrics` by arm; `analyses` by name.
        seed: of resamples.
        home: the folder of the experiment's tables.
    """
    shown = [card.model_dump(mode="json") for card in cards]
    spec = {"experiment": experiment, "studies": shown, "seed": seed}
    return Artefact(STUDIES, experiment, spec, parents, home=home)


def _questions_of_mistakes(artefact: Artefact) -> list[ExpectedQuestion]:
    return list(chain.from_iterable(parent.questions() for parent in artefact.parent("prompts")))


def _questions_of_analyst(artefact: Artefact) -> list[ExpectedQuestion]:
    """A question with an answer to it, in a text of about a question's length."""
    if artefact.path.exists():
        return stored_questions(artefact.path)
    of = artefact.parent("mistakes") or artefact.parent("prompts")
    found = chain.from_iterable(parent.questions() for parent in of)
    return [
        ExpectedQuestion(question.category, (question.turns[0] + 2 * QUESTION,))
        for question in found
    ]


MISTAKES = Stage(
    name="mistakes",
    table="mistakes",
    units=(Unit("mistakes", "alignlab.learning.collect"),),
    questions=_questions_of_mistakes,
)
QUESTIONS_ASKED = Stage(
    name="questions",
    table="prompts",
    units=(Unit("questions", "alignlab.learning.questions"),),
    questions=_questions_of_analyst,
)
TRAINSETS = Stage(
    name="trainsets",
    table="trainset",
    units=(Unit("trainsets", "alignlab.learning.recipes"),),
)
CHECKED_TRAINSETS = Stage(
    name="trainsets",
    table="trainsets",
    units=(Unit("training sets checked", "alignlab.learning.overlap"),),
)
STUDIES = Stage(
    name="discrimination",
    table="discrimination",
    units=(Unit("studies", "alignlab.learning.discrimination"),),
)
STAGES = (MISTAKES, QUESTIONS_ASKED, TRAINSETS)
