"""Learning from Mistakes, typed: what `mistakes`, `analyses`, `trainsets` and `studies` may say.

    alignlab check lfm-demo

Each entry turns a table into the next one (arXiv 2310.10477, steps 1 to 3); asking a model is
always an arm, with the same methods and decoding. Keys in `config/README.md`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from alignlab.answering.config import AskedConfig
from alignlab.core.config import Name, StrictModel
from alignlab.sources.config import PromptSetConfig

RECIPES = {
    "sft": None,
    "coh": None,
    "preference": None,
    "critique-revise": "revision",
    "lfm": "guided",
    "lfm-guided": "guided",
    "lfm-tag": None,
    "lfm-shuffled": "guided",
}
"""Recipe of a training set → what it `asked` of the analyst, where it needs analyses at all."""


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
        description="How mistakes enter; `mistakes.recipes` documents each"
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
        if self.recipe != "sft" and not self.mistakes:
            raise ValueError(f"recipe {self.recipe} needs `mistakes`")
        if self.recipe == "preference" and self.answers:
            raise ValueError("recipe preference does not use `answers`: they are no pairs")
        if (RECIPES[self.recipe] is not None) != (self.analyses is not None):
            wants = "needs" if RECIPES[self.recipe] else "does not use"
            raise ValueError(f"recipe {self.recipe} {wants} `analyses`")
        if (self.recipe in ("coh", "lfm-tag")) != (self.texts is not None):
            wants = "does not use" if self.texts else "needs"
            raise ValueError(f"recipe {self.recipe} {wants} `texts`")
        return self


class MeasureConfig(StrictModel):
    """One column of a scenario's table."""

    label: str = Field(description="Heading of the column")
    metric: str = Field(description="A metric; `alignlab.metrics.definitions` lists them")
    dataset: str = Field("all", description="On the prompts of this dataset")
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
