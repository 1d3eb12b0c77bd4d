"""Read an experiment and the catalog; every mistake is one message with file and key.

alignlab check config/experiments/demo.yaml
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from alignlab.errors import AlignlabError
from alignlab.experiment.catalog import Catalog
from alignlab.experiment.references import check_references
from alignlab.experiment.schema import Experiment

CONFIG = Path("config")
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Study:
    """An experiment with the catalog it refers to and the file it came from."""

    experiment: Experiment
    catalog: Catalog
    path: Path


def shipped() -> list[Path]:
    """The experiment files of this repository."""
    return sorted((CONFIG / "experiments").glob("*.yaml"))


def load_study(name_or_path: str) -> Study:
    """Load an experiment by shipped name or by path, and resolve its references.

    Raises:
        AlignlabError: the file, a key, a value or a reference is wrong; the message says which.
    """
    path = _find(name_or_path)
    experiment = _validate(Experiment, read_yaml(path), path)
    study = Study(experiment, load_catalog(), path)
    try:
        check_references(experiment, study.catalog)
    except AlignlabError as error:
        raise AlignlabError(f"{path}: {error}") from error
    return study


def load_catalog() -> Catalog:
    """Read `config/catalog/*.yaml`, one file per kind of entry."""
    folder = CONFIG / "catalog"
    entries = {kind: read_yaml(folder / f"{kind}.yaml") or {} for kind in Catalog.model_fields}
    return _validate(Catalog, entries, folder)


def read_yaml(path: Path) -> Any:
    """Parse a YAML file; refuse a key given twice, which plain YAML would silently drop."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except OSError as error:
        raise AlignlabError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AlignlabError(f"{path}: not UTF-8 at byte {error.start}") from error
    except yaml.YAMLError as error:
        raise AlignlabError(f"{path}: not valid YAML: {error}") from error


class _UniqueKeys(yaml.CSafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


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
