"""Judges at work, typed: what an experiment's `judges` may say.

alignlab check demo                         # validates them; says what an API would cost
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from alignlab.core.config import Name, StrictModel
from alignlab.endpoints.config import EndpointConfig
from alignlab.planning.versions import Unit
from alignlab.sources.config import FileSource

# What a config says is in the specs.
CHANGES_NO_VALUE = True


class ControlsConfig(StrictModel):
    """Whose answers are spoilt on purpose, to see whether the judge notices."""

    arm: str = Field(description="An arm that the judge scores")
    take: int | None = Field(
        None, gt=1, description="Of the prompts that it judges, of each category; all if absent"
    )


class JudgeConfig(StrictModel):
    """A judge of the catalog at work on answers of this experiment."""

    name: Name = Field(description="Unique; `<name>:<aspect>` becomes a metric")
    judge: str = Field(description="An entry of the catalog's `judges`")
    rubrics: tuple[str, ...] = Field(
        min_length=1, description="Files of `config/prompts` such as `judge/quality`"
    )
    aspects: tuple[str, ...] | None = Field(
        None, description="Of those rubrics' aspects, the ones it rates; all if absent"
    )
    arms: tuple[str, ...] | None = Field(
        None, min_length=1, description="Arms whose answers it scores; all if absent"
    )
    datasets: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Of those, answers to prompts of these datasets; all if absent",
    )
    take: int | None = Field(
        None,
        gt=0,
        description="Of those, answers to so many prompts of each category, drawn with the seed; "
        "all if absent. More contain fewer",
    )
    duels: tuple[tuple[str, str], ...] = Field(
        (), description="Pairs of arms that rubrics with two answers compare, in both orders"
    )
    controls: ControlsConfig | None = Field(
        None, description="How the judge is tried; its scores count as untried if absent"
    )
    max_usd: float | None = Field(
        None,
        gt=0,
        description="Stop before all replies for one table (an arm, a duel, the controls), in all "
        "runs, cost more; needs a `price`; *runtime*",
    )
    min_coverage: float = Field(
        0.9, ge=0, le=1, description="Share of answers it must score for a mean to be shown"
    )

    @model_validator(mode="after")
    def _different(self) -> JudgeConfig:
        for a, b in self.duels:
            if a == b:
                raise ValueError(f"duels: {a} against itself; qualification does that by itself")
        return self


class JudgeKindConfig(StrictModel):
    """What a kind of judge says of itself; one behind an endpoint has an `EndpointConfig`, too."""

    can_be_asked: ClassVar[bool] = True
    """Else its judgements are all there, and there is no asking for more."""

    @property
    def loads(self) -> str | None:
        """The model of the catalog that its jobs load."""
        return None

    @property
    def writes(self) -> int:
        """Tokens that such a model writes beside each score, at most."""
        return 0


class LocalJudgeConfig(JudgeKindConfig):
    """A model of the catalog; scores are read from its next-token distribution."""

    kind: Literal["local"] = Field(description="The judge")
    model: str = Field(description="A model of the catalog, asked through its chat template")
    reason_tokens: int = Field(
        0, ge=0, description="Tokens of a reason that it writes after each score; 0: no reason"
    )

    @property
    def loads(self) -> str:
        """See `JudgeKindConfig`."""
        return self.model

    @property
    def writes(self) -> int:
        """See `JudgeKindConfig`."""
        return self.reason_tokens


class ApiJudgeConfig(JudgeKindConfig, EndpointConfig):
    """A model behind an endpoint that speaks OpenAI's chat protocol."""

    kind: Literal["openai"] = Field(description="The judge")
    structured: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema", description="`response_format`; `none` asks for JSON in words alone"
    )
    max_tokens: int = Field(1024, gt=0, description="Longest reply")


class PublishedJudgeConfig(JudgeKindConfig):
    """Judgements that somebody else made, in just-eval's form."""

    can_be_asked: ClassVar[bool] = False
    kind: Literal["published"] = Field(description="The judge")
    model: str = Field(description="Who judged, for the report")
    judgements: dict[str, tuple[FileSource, ...]] = Field(
        min_length=1, description="Entry of the catalog's `published` → files with its judgements"
    )


class FakeJudgeConfig(JudgeKindConfig):
    """Scores by the answer's words alone, without a model; for tests."""

    kind: Literal["fake"] = Field(description="The judge")


AnyJudge = Annotated[
    LocalJudgeConfig | ApiJudgeConfig | PublishedJudgeConfig | FakeJudgeConfig,
    Field(discriminator="kind"),
]


def judge_unit(kind: str) -> Unit:
    """The code of a kind of judge: a module with a function `load`."""
    return Unit(f"judge {kind}", f"alignlab.judging.{kind}_judge")
