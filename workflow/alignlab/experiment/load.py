"""Read an experiment and the catalog; every mistake is one message with file and key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from alignlab.core.config import CONFIG, read_yaml
from alignlab.core.errors import AlignlabError
from alignlab.experiment.checks import check_references
from alignlab.experiment.config import Catalog, Experiment

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Loaded:
    """An experiment with the catalog it refers to and the file it came from."""

    experiment: Experiment
    catalog: Catalog
    path: Path


def shipped() -> list[Path]:
    """The experiment files of this repository."""
    return sorted((CONFIG / "experiments").glob("*.yaml"))


def load_experiment(name_or_path: str) -> Loaded:
    """Load an experiment by shipped name or by path, and resolve its references.

    Raises:
        AlignlabError: the file, a key, a value or a reference is wrong; the message says which.
    """
    path = _find(name_or_path)
    experiment = _validate(Experiment, read_yaml(path), path)
    catalog = load_catalog()
    try:
        check_references(experiment, catalog)
    except AlignlabError as error:
        raise AlignlabError(f"{path}: {error}") from error
    return Loaded(experiment, catalog, path)


def load_catalog() -> Catalog:
    """Read `config/catalog/*.yaml`, one file per kind of entry."""
    folder = CONFIG / "catalog"
    entries = {kind: read_yaml(folder / f"{kind}.yaml") or {} for kind in Catalog.model_fields}
    return _validate(Catalog, entries, folder)


def _find(name_or_path: str) -> Path:
    named = CONFIG / "experiments" / f"{name_or_path}.yaml"
    if named.is_file():
        return named
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    names = ", ".join(path.stem for path in shipped())
    raise AlignlabError(f"experiment {name_or_path!r}: no such file and not one of {names}")


def _validate(model: type[Model], value: Any, path: Path) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        lines = [f"{path}: {_where(e['loc'])}: {_what(e)}" for e in error.errors()]
        raise AlignlabError("\n".join(lines)) from error


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "(the whole file)"


def _what(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key; the keys are listed in config/README.md"
    message = error["msg"].removeprefix("Value error, ")
    given = error["input"]
    return message if isinstance(given, dict | list) else f"{message}, not {given!r}"
