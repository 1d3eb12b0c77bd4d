"""Rubrics of `config/prompts/judge`, resolved to what a judge reads, so that digests cover it.

    alignlab check                              # reads every rubric that an experiment names

A rubric is data: what the judge is told once, how a case is put before it, which aspects it rates
and on which scale. One whose case shows two answers compares them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from pydantic import Field, model_validator

from alignlab.core.config import Name, StrictModel
from alignlab.core.templates import PLACE
from alignlab.judging.config import JudgeConfig
from alignlab.prompting.prompt_files import Text, find, read

# What a rubric says is in the specs.
CHANGES_NO_VALUE = True

PLACES = {"conversation", "query", "answer", "reference"}
PLACES_OF_TWO = {"conversation", "query", "answer_a", "answer_b", "reference"}
CONTROLS = ("other-answer", "first-words", "shuffled-words", "refusal-or-compliance")


class Scale(StrictModel):
    """What a judge may say, from worst to best."""

    says: tuple[Text, ...] = Field(min_length=2, description="Words of the judge, worst first")
    values: tuple[float, ...] = Field(min_length=2, description="What each of them counts")
    unit: str = Field(description="Unit of the mean, such as `1-5`; `share` if values are 0 and 1")

    @model_validator(mode="after")
    def _paired(self) -> Scale:
        if len(self.says) != len(self.values) or len(set(self.says)) != len(self.says):
            raise ValueError("`says` and `values` must be as many, and `says` different")
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


def resolved_rubric(name: str, aspects: Collection[str] | None = None) -> dict[str, Any]:
    """What a judge reads of a rubric, for a spec; controls are for the report.

    Keys: `name`, `category` (or null), `instructions`, `case`, `ask`, `aspects`: a list, in order,
    of `name`, `label`, `meaning`, `levels` (word → text), `says` and `values` (worst first).
    """
    found = rubric(name, aspects)
    listed = []
    for key, aspect in found.aspects.items():
        scale = aspect.scale or found.scale
        listed.append(
            {
                "name": key,
                "label": aspect.label,
                "meaning": aspect.meaning,
                "levels": dict(aspect.levels),
                "says": list(scale.says),
                "values": list(scale.values),
            }
        )
    texts = found.model_dump(include={"category", "instructions", "case", "ask"})
    return {"name": name, **texts, "aspects": listed}
