"""Which rows of a dataset are asked, in a module of its own so that `sources` needs no more.

alignlab check demo                         # counts the rows that an experiment chooses
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from alignlab.experiment.strict import Strict


class PromptSet(Strict):
    """Which rows of a dataset are asked. Every key is part of the digest."""

    dataset: str = Field(description="A dataset of the catalog")
    where: dict[Literal["category", "source", "tags"], tuple[str, ...]] = Field(
        {}, description="Keep rows whose column holds (for tags: contains) one of these values"
    )
    ids: tuple[str, ...] | None = Field(None, description="Keep exactly these prompt ids")
    distinct: bool = Field(False, description="Leave out rows that repeat an earlier question")
    take: int | None = Field(None, gt=0, description="Keep this many rows")
    per: Literal["category", "source", "tags"] | None = Field(
        None, description="Take that many of each value of this column (for tags: the first tag)"
    )
    sample: int | None = Field(
        None, ge=0, description="Seed of a random choice of rows; the first rows if absent"
    )
    turns: int | None = Field(None, gt=0, description="Ask at most this many turns; all if absent")
