"""What an experiment says of its comparisons: the contrasts that it was made for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from alignlab.core.config import Name, StrictModel

# What a config says is in the specs.
CHANGES_NO_VALUE = True


def _listed(given: object) -> object:
    return [given] if isinstance(given, str) else given


_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
    ]
}
Names = Annotated[
    tuple[str, ...], BeforeValidator(_listed), Field(min_length=1), WithJsonSchema(_SCHEMA)
]


class ContrastConfig(StrictModel):
    """Differences that were named before the run; they are one family of Holm's correction."""

    name: Name = Field(description="Unique; part of table rows")
    arm: Names = Field(description="One arm or several")
    against: Names = Field(description="One arm or several that each is compared with, by prompt")
    metrics: Names = Field(
        description="Metrics of rules (`alignlab.metrics.definitions`), or `<judge>:<aspect>`"
    )
    datasets: Names = Field(
        ("all",), description="A test for each; `all` is the prompts of all datasets together"
    )

    category: Literal["regular", "safety"] | None = Field(
        None,
        description="On prompts of this category alone. If absent, on all; refusals, which are "
        "good or bad as the prompt is, have a test for each",
    )

    @model_validator(mode="after")
    def _tests_differ(self) -> ContrastConfig:
        if both := sorted({*self.arm} & {*self.against}):
            raise ValueError(f"{both[0]} is compared with itself")
        for key in ("arm", "against", "metrics", "datasets"):
            names = getattr(self, key)
            if len({*names}) < len(names):
                raise ValueError(f"`{key}` has a name twice: its tests would count twice")
        return self
