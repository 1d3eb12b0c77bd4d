"""Read an experiment and the catalog; every mistake is one message with file and key.

alignlab check config/experiments/demo.yaml
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from alignlab.errors import AlignlabError
from alignlab.experiment.catalog import Catalog
from alignlab.experiment.methods import Retrieval
from alignlab.experiment.schema import Arm, Experiment, Published

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
    _check_references(study)
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


def _check_references(study: Study) -> None:
    """Every name an experiment uses must be in the catalog, as the kind it is used as."""
    experiment, catalog, path = study.experiment, study.catalog, study.path
    for index, chosen in enumerate(experiment.prompts):
        _known(f"{path}: prompts.{index}.dataset", chosen.dataset, catalog.datasets)
    tuned = [entry.name for entry in experiment.tuned]
    for index, entry in enumerate(experiment.tuned):
        _language_model(f"{path}: tuned.{index}.base", entry.base, catalog)
        if entry.name in catalog.models:
            raise AlignlabError(f"{path}: tuned.{index}.name: {entry.name} is in the catalog")
    for index, generated in enumerate(experiment.arms):
        if generated.model not in tuned:
            _language_model(f"{path}: arms.{index}.model", generated.model, catalog)
    asked: dict[str, Sequence[Arm | Published]] = {
        "arms": experiment.arms,
        "published": experiment.published,
    }
    for kind, entries in asked.items():
        for index, arm in enumerate(entries):
            if isinstance(arm.method, Retrieval):
                where = f"{path}: {kind}.{index}.method.embedder"
                _embedder(where, arm.method.embedder, catalog)
    for index, published in enumerate(experiment.published):
        _known(f"{path}: published.{index}.responses", published.responses, catalog.published)
        if published.name in {pair.aligned for pair in experiment.pairs}:
            model = catalog.published[published.responses].model
            _language_model(f"{path}: published.{index}.responses: model", model, catalog)
    if experiment.embedder:
        _embedder(f"{path}: embedder", experiment.embedder, catalog)


def _language_model(where: str, name: str, catalog: Catalog) -> None:
    _known(where, name, catalog.models)
    if catalog.models[name].role == "embedder":
        raise AlignlabError(f"{where}: {name} only embeds text")


def _embedder(where: str, name: str, catalog: Catalog) -> None:
    _known(where, name, catalog.models)
    if catalog.models[name].role != "embedder":
        raise AlignlabError(f"{where}: {name} is a language model; its role is not `embedder`")


def _known(where: str, name: str, entries: dict[str, Any]) -> None:
    if name not in entries:
        raise AlignlabError(f"{where}: {name!r} is not in the catalog; it has {', '.join(entries)}")
