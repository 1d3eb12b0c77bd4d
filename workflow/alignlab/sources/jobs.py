"""What the jobs have in common that bring something in: where it lies, and what they note of that.

    snakemake --cores 2 --until fetch_model fetch_prompts

A pinned source stands in the spec. A local one is its content there, and lies where `place` says.
"""

from __future__ import annotations

from typing import Any, Literal, overload

from alignlab.core.config import StrictModel, dump
from alignlab.planning.job import Job
from alignlab.sources.config import ColumnsConfig, FileSource, Source, WeightsSource


class FilePlace(StrictModel):
    """Where a file lies on this machine, if its source is not pinned."""

    source: FileSource | None = None


class ModelPlace(StrictModel):
    """Where a model lies on this machine, if its source is not pinned."""

    source: WeightsSource | None = None


class FileRows(StrictModel):
    """Rows of a file, as questions.

    Attributes:
        dataset: the name that their ids open with.
        columns: which column holds what.
        category: of every row, unless a column says it.
        source: where the file comes from, if it is pinned; of a job's place, in any case.
        content: digest of a local file.
    """

    dataset: str
    columns: ColumnsConfig
    category: Literal["regular", "safety"] | None = None
    source: FileSource | None = None
    content: str | None = None


class FetchJob(Job):
    """A job that brings something in."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What a table or folder says of itself: the slice, and where a local source lay."""
        return {**self.spec.signed, **dump(self.place)}


@overload
def where(place: FilePlace, pinned: FileSource | None) -> FileSource: ...
@overload
def where(place: ModelPlace, pinned: Source | None) -> Source: ...
def where(place: FilePlace | ModelPlace, pinned: Any) -> Any:
    """The source that a job opens.

    Raises:
        ValueError: it is given neither by the spec nor by the place.
    """
    source = place.source or pinned
    if source is None:
        raise ValueError("source: neither pinned by `spec` nor local by `place`")
    return source
