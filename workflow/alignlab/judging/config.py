"""Judges of an experiment and of the catalog, and rubric files: what they may say."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, FiniteFloat, model_validator, with_config
from typing_extensions import TypedDict

from alignlab.core.config import Name, StrictModel
from alignlab.core.templates import PLACE
from alignlab.endpoints.config import EndpointConfig
from alignlab.planning.versions import Unit
from alignlab.prompting.prompt_files import Text, find, read
from alignlab.sources.config import FileSource

# What a config says is in the specs.
CHANGES_NO_VALUE = True

PLACES = {"conversation", "query", "answer", "reference"}
PLACES_OF_TWO = {"conversation", "query", "answer_a", "answer_b", "reference"}
CONTROLS = ("other-answer", "first-words", "shuffled-words", "refusal-or-compliance")


class ControlsConfig(StrictModel):
    """Whose answers are corrupted on purpose, to see whether the judge notices."""

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
        None, description="How the judge is validated; its scores count as not validated if absent"
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
    return Unit(f"judge {kind}", f"alignlab.judging.{kind}_judge", "load")


class Scale(StrictModel):
    """What a judge may say, from worst to best."""

    says: tuple[Text, ...] = Field(min_length=2, description="Words of the judge, worst first")
    values: tuple[FiniteFloat, ...] = Field(min_length=2, description="What each of them counts")
    unit: str = Field(
        description="Unit of the mean, such as `1-5` of values from 1 to 5; `share` if they are "
        "from 0 to 1"
    )

    @model_validator(mode="after")
    def _paired(self) -> Scale:
        # A judge behind an endpoint may say a word in capitals.
        words = {" ".join(word.split()).casefold() for word in self.says}
        if len(self.says) != len(self.values) or len(words) != len(self.says):
            raise ValueError(
                "`says` and `values` must be as many, and `says` different, whatever their case"
            )
        ends = re.fullmatch(r"(\d+)-(\d+)", "0-1" if self.unit == "share" else self.unit)
        found = min(self.values), max(self.values)
        if ends and (float(ends[1]), float(ends[2])) != found:
            raise ValueError(
                f"unit: {self.unit!r}, but `values` are from {found[0]:g} to {found[1]:g}"
            )
        return self


class Aspect(StrictModel):
    """One thing that is rated."""

    label: str = Field(description="Heading in the report")
    meaning: Text = Field(description="What it means, as the judge reads it")
    levels: dict[str, Text] = Field({}, description="What a word of the scale stands for")
    better: Literal["higher", "lower", "none"] = Field("higher", description="For the report")
    scale: Scale | None = Field(None, description="The rubric's scale if absent")
    controls: tuple[Literal[CONTROLS], ...] = Field(  # type: ignore[valid-type]
        (), description="Controls that a judge must tell from real answers to be shown as qualified"
    )


class Rubric(StrictModel):
    """What a YAML file of `config/prompts/judge` holds."""

    category: Literal["regular", "safety"] | None = Field(
        None, description="Prompts it applies to; all if absent"
    )
    instructions: Text = Field(description="Sent once, before every case; {aspects} lists them")
    case: Text = Field(
        description="How a case is shown: {conversation} (earlier turns, or nothing), {query}, "
        "{answer} or {answer_a} and {answer_b}, {reference} (or nothing)"
    )
    ask: Text = Field(
        description="Asks a local judge, whose next token is read, for one {aspect} or its "
        "{meaning}, on a {scale}"
    )
    scale: Scale = Field(description="What a judge may say")
    aspects: dict[Name, Aspect] = Field(min_length=1, description="What is rated, in order")

    @model_validator(mode="after")
    def _places_known(self) -> Rubric:
        found = set(PLACE.findall(self.case))
        places = PLACES_OF_TWO if "answer_b" in found else PLACES
        needed = places - {"conversation", "reference"}
        for name in sorted(found - places):
            raise ValueError(f"case: {{{name}}} is unknown; places are {', '.join(sorted(places))}")
        for name in sorted(needed - found):
            raise ValueError(f"case: {{{name}}} is missing")
        for key, places in (("instructions", {"aspects"}), ("ask", {"aspect", "meaning", "scale"})):
            if unknown := set(PLACE.findall(getattr(self, key))) - places:
                raise ValueError(f"{key}: {{{unknown.pop()}}} is unknown")
        if len(self.aspects) > 1 and not {"aspect", "meaning"} & set(PLACE.findall(self.ask)):
            raise ValueError("ask: neither {aspect} nor {meaning}: it asks the same of each aspect")
        values = {v for a in self.aspects.values() for v in (a.scale or self.scale).values}
        if self.compares and not {0, 1} <= values <= {0, 0.5, 1}:
            raise ValueError("scale: of two answers, 1 is for A, 0 for B and 0.5 for a tie")
        for name, aspect in self.aspects.items():
            if unknown := aspect.levels.keys() - set((aspect.scale or self.scale).says):
                raise ValueError(f"aspects.{name}.levels: {unknown.pop()!r} is not in the scale")
        return self

    @property
    def compares(self) -> bool:
        """Whether two answers are compared, rather than one rated."""
        return "{answer_b}" in self.case


@with_config(ConfigDict(extra="forbid"))
class ResolvedAspect(TypedDict):
    """One thing that is rated, as a judge reads it.

    Attributes:
        name: key in the rubric, and in tables.
        label: its name in what a judge reads.
        meaning: its meaning in what a judge reads.
        levels: what words of the scale stand for.
        says: words of the scale, worst first.
        values: what each of them counts.
    """

    name: str
    label: str
    meaning: str
    levels: dict[str, str]
    says: list[str]
    values: list[float]


@with_config(ConfigDict(extra="forbid"))
class ResolvedRubric(TypedDict):
    """A rubric as a judge reads it; controls, units and the like are for the report.

    Attributes:
        name: of its file, and in tables.
        category: of the prompts that it applies to; null for all.
        instructions: see `Rubric`; so `case` and `ask`.
        aspects: what is rated, in order.
    """

    name: str
    category: Literal["regular", "safety"] | None
    instructions: str
    case: str
    ask: str
    aspects: list[ResolvedAspect]


def rubric(name: str, aspects: Collection[str] | None = None) -> Rubric:
    """A rubric by the name of its file in `config/prompts`, such as `judge/quality`.

    Of its aspects those that are chosen; all for none.

    Raises:
        AlignlabError: no such file, a wrong key, or a template with a wrong or missing place.
    """
    found = read(find(name), Rubric)
    if aspects is None:
        return found
    kept = {key: aspect for key, aspect in found.aspects.items() if key in aspects}
    return found.model_copy(update={"aspects": kept})


def rubrics_of(judge: JudgeConfig, *, compares: bool) -> dict[str, Rubric]:
    """The rubrics by which a judge rates answers, or compares two, with the chosen aspects."""
    found = {name: rubric(name, judge.aspects) for name in judge.rubrics}
    return {name: r for name, r in found.items() if r.aspects and r.compares == compares}


def resolved_rubric(name: str, aspects: Collection[str] | None = None) -> ResolvedRubric:
    """What a judge reads of a rubric, for a spec; see `rubric`."""
    found = rubric(name, aspects)
    return {
        "name": name,
        "category": found.category,
        "instructions": found.instructions,
        "case": found.case,
        "ask": found.ask,
        "aspects": [_resolved(key, aspect, found.scale) for key, aspect in found.aspects.items()],
    }


def _resolved(name: str, aspect: Aspect, usual: Scale) -> ResolvedAspect:
    scale = aspect.scale or usual
    return {
        "name": name,
        "label": aspect.label,
        "meaning": aspect.meaning,
        "levels": dict(aspect.levels),
        "says": list(scale.says),
        "values": list(scale.values),
    }
