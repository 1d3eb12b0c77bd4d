"""Pairs of models whose token shift is measured: what `pairs` may say.

Keys in `config/README.md`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from alignlab.core.config import Name, StrictModel
from alignlab.engines.config import DecodingConfig

# What a config says is in the specs.
CHANGES_NO_VALUE = True


class PairConfig(StrictModel):
    """An aligned model's answers, scored token by token under itself and a base model."""

    name: Name = Field(description="Unique; part of file names")
    aligned: str = Field(description="The arm whose answers are scored; any arm")
    base: str = Field(description="The arm that says which base model, and how it is asked")
    datasets: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Answers to prompts of these datasets are scored; all if absent",
    )
    template: Literal["own", "shared"] = Field(
        "own",
        description="`own`: each model sees its own prompt (URIAL); `shared`: both see the base's",
    )
    retokenise: bool = Field(
        False, description="Score published answers, whose token ids are unknown, from their text"
    )


class PairCard(PairConfig):
    """What statistics and the report know of a pair.

    Attributes:
        base_model: name of the base model.
        aligned_model: name of the aligned model.
        decoding: of the aligned arm; None where its answers were not generated here.
    """

    base_model: str
    aligned_model: str
    decoding: DecodingConfig | None
