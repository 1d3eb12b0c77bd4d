"""What the evidence experiments make, with the code units behind it, as `make stages` compares it.

    alignlab stages --list                      # prints it as JSON

Of an older commit `make stages` knows this output alone; its form stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict

from alignlab.core.config import CONFIG
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.experiment.results import Results
from alignlab.planning.artefact import Artefact

SHIPPED = ("smoke", "smoke-lfm")
"""Shipped experiments that are evidence too; `config/evidence` has what they leave out."""


class Made(TypedDict):
    """A table or folder of an experiment.

    Attributes:
        experiment: as `snakemake --config experiment=...` takes it.
        kind: its stage, or what its table of statistics is.
        path: relative to the working directory; a job that makes it makes what else has its digest.
        digest: of its slice.
        units: code unit → its version, or its fingerprint where it is not as recorded.
        parents: digests of what it is made from.
    """

    experiment: str
    kind: str
    path: str
    digest: str
    units: dict[str, int | str]
    parents: list[str]


def experiments() -> list[str]:
    """The experiments that are evidence, in the order in which they are run."""
    return [*SHIPPED, *(str(path) for path in sorted((CONFIG / "evidence").glob("*.yaml")))]


def inventory() -> list[Made]:
    """Everything that the evidence experiments make, parents first, each experiment on its own.

    Raises:
        AlignlabError: an experiment is not valid.
    """
    return [made for name in experiments() for made in _made(name)]


def _made(name: str) -> Iterator[Made]:
    plan = Plan(load_experiment(name))
    for artefact in plan:
        yield _entry(name, artefact.stage, artefact)
    for table in Results(plan).made():
        yield _entry(name, f"table {table.stage}", table)


def _entry(name: str, kind: str, artefact: Artefact) -> Made:
    return {
        "experiment": name,
        "kind": kind,
        "path": str(artefact.path),
        "digest": artefact.digest,
        "units": artefact.slice["code"],
        "parents": sorted(set(_digests(artefact.spec.get("parents", {})))),
    }


def _digests(value: Any) -> Iterator[str]:
    """Digests in a slice's `parents`, however they are nested."""
    if isinstance(value, str):
        yield value
    else:
        for part in value.values() if isinstance(value, dict) else value:
            yield from _digests(part)
