"""Learning from Mistakes, typed: what `mistakes`, `analyses`, `trainsets` and `studies` may say.

Each entry turns a table into the next one (arXiv 2310.10477, steps 1 to 3); asking a model is
always an arm, with the same methods and decoding. Keys in `config/README.md`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from alignlab.answering.config import AskedConfig
from alignlab.core.config import Name, StrictModel
from alignlab.sources.config import PromptSetConfig

# What a config says is in the specs.
CHANGES_NO_VALUE = True


class Recipe(NamedTuple):
    """What a recipe of training sets is made from.

    Attributes:
        mistakes: it needs them; else ordinary answers are enough.
        answers: ordinary answers may stand beside them.
        preferences: it makes preferences, which are learnt by other trainers than completions.
        analyses: what was asked of the analyst, whose answers it learns.
        question: the text, of those that the analyst was asked with, under which they stand.
        texts: further texts that it reads, so that editing another one changes nothing.
    """

    mistakes: bool = True
    answers: bool = True
    preferences: bool = False
    analyses: Literal["guided", "revision"] | None = None
    question: Literal["guided", "unguided"] | None = None
    texts: tuple[str, ...] = ()


RECIPES = {
    "sft": Recipe(mistakes=False),
    "coh": Recipe(texts=("good_marker", "bad_marker")),
    "preference": Recipe(answers=False, preferences=True),
    "critique-revise": Recipe(analyses="revision"),
    "lfm": Recipe(analyses="guided", question="unguided"),
    "lfm-guided": Recipe(analyses="guided", question="guided"),
    "lfm-tag": Recipe(texts=("unguided", "verdict")),
    "lfm-shuffled": Recipe(analyses="guided", question="unguided"),
}
"""Recipe → what it is made from; `alignlab.learning.recipes` makes it."""


class MistakesConfig(StrictModel):
    """Bad answers with their questions (LfM step 1). Every key is part of the digest."""

    name: Name = Field(description="Unique; part of file names")
    prompts: tuple[PromptSetConfig, ...] = Field(
        min_length=1, description="Questions; their `reference` answers are the good ones"
    )
    induced: AskedConfig | None = Field(
        None,
        description="Who is led into mistakes, with cue words as `method.guidance`; if absent, "
        "the rows bring their own (`columns.mistake`, `columns.preference`)",
    )


class AnalysisConfig(AskedConfig):
    """Answers that a model explains, judges or rewrites (LfM step 2)."""

    name: Name = Field(description="Unique; part of file names")
    of: str = Field(
        description="A collection of mistakes; an arm, whose answers to the experiment's prompts "
        "are analysed; for `revision` an analysis, whose critiques are followed"
    )
    ask: Literal["guided", "unguided", "revision"] = Field(
        description="Which text of `texts` is sent: `guided` says that the answer is bad"
    )
    texts: str = Field(description="A file of `config/prompts` such as `lfm/harm`")
    datasets: tuple[str, ...] | None = Field(
        None, description="Of an arm's answers, those to prompts of these datasets; all if absent"
    )


class TrainSetConfig(StrictModel):
    """What a model is tuned on (LfM step 3, its baselines and controls)."""

    name: Name = Field(description="Unique; part of file names")
    recipe: Literal[tuple(RECIPES)] = Field(  # type: ignore[valid-type]
        description="How mistakes enter; `learning.recipes` documents each"
    )
    answers: tuple[PromptSetConfig, ...] = Field(
        (), description="Ordinary questions with good answers, the rows' `reference`"
    )
    mistakes: str | None = Field(None, description="The collection of mistakes")
    take: int | None = Field(
        None, gt=0, description="Use this many mistakes, drawn with the seed; all if absent"
    )
    analyses: str | None = Field(
        None, description="Analyses of those mistakes (`lfm` recipes), or their revisions"
    )
    texts: str | None = Field(
        None, description="A file of `config/prompts`: markers of `coh`, verdict of `lfm-tag`"
    )

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> TrainSetConfig:
        if not self.answers and not self.mistakes:
            raise ValueError("neither `answers` nor `mistakes` is given: nothing to train on")
        recipe = RECIPES[self.recipe]
        if recipe.mistakes and not self.mistakes:
            raise ValueError(f"recipe {self.recipe} needs `mistakes`")
        if self.answers and not recipe.answers:
            raise ValueError(f"recipe {self.recipe} does not use `answers`: they are no pairs")
        for key, used in (("analyses", recipe.analyses), ("texts", recipe.texts)):
            if bool(used) != (getattr(self, key) is not None):
                wants = "needs" if used else "does not use"
                raise ValueError(f"recipe {self.recipe} {wants} `{key}`")
        return self


class MeasureConfig(StrictModel):
    """One column of a scenario's table."""

    label: str = Field(description="Heading of the column")
    metric: str = Field(description="A metric; `alignlab.metrics.definitions` lists them")
    dataset: str = Field("all", description="On the prompts of this dataset")
    category: Literal["regular", "safety"] | None = Field(
        None,
        description="On those of this category alone; all if absent. Refusals, which are good or "
        "bad as the prompt is, need it where there are both",
    )
    better: Literal["higher", "lower", "none"] = Field(
        description="Which way is better here: refusing is good or bad as the prompt is"
    )


class ScenarioConfig(StrictModel):
    """A question that several arms answer: a table of its own, with paired tests (LfM §4)."""

    name: Name = Field(description="Unique; part of table rows")
    title: str = Field(description="Heading in the report")
    arms: tuple[str, ...] = Field(min_length=2, description="Rows of the table, in order")
    against: tuple[str, ...] = Field(
        min_length=1, description="Arms that every other one is compared with, by prompt"
    )
    measures: tuple[MeasureConfig, ...] = Field(min_length=1, description="Columns, in order")


class StudyConfig(StrictModel):
    """Discrimination against generation: is a model right about answers it gets wrong (LfM §3)?"""

    name: Name = Field(description="Unique; part of table rows")
    analyses: tuple[str, ...] = Field(
        min_length=1, description="Analyses of one arm's answers, such as unguided and guided"
    )


class StudiedAnalysis(StrictModel):
    """An analysis of a study: its name, and whether the analyst was given the hint."""

    name: str
    ask: Literal["guided", "unguided", "revision"]


class StudyCard(StrictModel):
    """A study.

    Attributes:
        name: its name.
        arm: whose first turns are judged.
        datasets: of the prompts that count; all for none.
        analyses: of that arm's answers.
    """

    name: str
    arm: str
    datasets: tuple[str, ...] | None
    analyses: tuple[StudiedAnalysis, ...]
