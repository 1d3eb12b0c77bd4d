"""Read an experiment and the catalog; every mistake is one message with file and key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from alignlab.core.config import CONFIG, read_yaml, validated
from alignlab.core.errors import AlignlabError
from alignlab.experiment.checks import check_references
from alignlab.experiment.config import Catalog, Experiment
from alignlab.experiment.grid import Grid

SHOWN = 8

Found = TypeVar("Found")


@dataclass(frozen=True)
class Loaded:
    """An experiment with the catalog it refers to and the file it came from."""

    experiment: Experiment
    catalog: Catalog
    path: Path


def shipped() -> list[Path]:
    """The experiment files of this repository.

    Raises:
        AlignlabError: the working directory is not the project's folder.
    """
    folder = CONFIG / "experiments"
    found = sorted(folder.glob("*.yaml"))
    if not found:
        there = ", ".join(sorted(path.name for path in Path.cwd().iterdir())[:SHOWN])
        raise AlignlabError(
            f"no {folder}/*.yaml in {Path.cwd()}: commands run in the project's folder, which has "
            f"Snakefile and config; here there is {there or 'nothing'}"
        )
    return found


def load_experiment(name_or_path: str) -> Loaded:
    """Load an experiment by shipped name or by path, and resolve its references.

    Raises:
        AlignlabError: the file, a key, a value or a reference is wrong; the message says which.
    """
    path = _find(name_or_path)
    grid = _of(path, Grid, read_yaml(path))
    try:
        experiment = validated(Experiment, grid.value, path)
        catalog = load_catalog()
        _of(path, check_references, experiment, catalog)
    except AlignlabError as error:
        raise AlignlabError(grid.located(str(error))) from error
    return Loaded(experiment, catalog, path)


def _of(path: Path, do: Callable[..., Found], *given: Any) -> Found:
    """What a function makes of a file's content; its mistakes are said to be the file's."""
    try:
        return do(*given)
    except AlignlabError as error:
        raise AlignlabError(f"{path}: {error}") from error


def load_catalog() -> Catalog:
    """Read `config/catalog/*.yaml`, one file per kind of entry."""
    folder = CONFIG / "catalog"
    entries = {kind: read_yaml(folder / f"{kind}.yaml") or {} for kind in Catalog.model_fields}
    return validated(Catalog, entries, folder)


def experiment_of(config: Mapping[str, Any], typed: Sequence[str]) -> str:
    """The experiment that a run is for, as it was typed.

    Snakemake reads what is typed as a number where it can: `2024_01` is 202401 in its config.

    Args:
        config: Snakemake's.
        typed: what stands behind `--config`, as `key=value`.

    Raises:
        AlignlabError: it is no text, in a file where it cannot be known how it was written.
    """
    chosen = config.get("experiment")
    texts = dict(entry.partition("=")[::2] for entry in typed)
    name = chosen if isinstance(chosen, str) else texts.get("experiment")
    if name and len(name) > 2 and name[0] == name[-1] and name[0] in "'\"":
        name = name[1:-1]  # as Snakemake's FAQ has a text typed that looks like a number
    if name:
        return name
    raise AlignlabError(
        f"experiment: expected a name or a path, not {chosen!r}: type `--config experiment=NAME`; "
        "in a YAML file, put a name in quotes that YAML reads as something else"
    )


def _find(name_or_path: str) -> Path:
    names = ", ".join(path.stem for path in shipped())
    named = CONFIG / "experiments" / f"{name_or_path}.yaml"
    if named.is_file():
        return named
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    raise AlignlabError(f"experiment {name_or_path!r}: no such file and not one of {names}")
