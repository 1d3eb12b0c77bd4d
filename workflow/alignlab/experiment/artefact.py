"""An artefact of the store: its name, its place and the digest of what it is made from.

alignlab check demo                         # print every artefact of an experiment
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from alignlab.experiment.digest import config_digest

RESULTS = Path("results")
STORE = RESULTS / "store"
# Stages whose artefacts are folders; the others are tables.
FOLDERS = ("models", "adapters")


@dataclass(frozen=True, eq=False)
class Artefact:
    """One file or folder of the store.

    `spec` is its semantic slice, parents' digests included; `place` is what a job needs besides,
    such as the path of a local file, which may differ between machines.
    """

    stage: str
    name: str
    spec: dict[str, Any]
    place: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits that change when, and only when, the content may."""
        return config_digest(self.spec)

    @property
    def key(self) -> str:
        """File name without suffix: readable name and digest."""
        return f"{self.name}-{self.digest}"

    @property
    def path(self) -> Path:
        """Where it lies, relative to the working directory."""
        suffix = "" if self.stage in FOLDERS else ".parquet"
        return STORE / self.stage / f"{self.key}{suffix}"

    @property
    def signed_spec(self) -> dict[str, Any]:
        """The spec with its digest, as table metadata and Snakemake's params get it."""
        return {**self.spec, "digest": self.digest}

    @property
    def job_spec(self) -> dict[str, Any]:
        """The signed spec with places, as the job that makes the artefact gets it."""
        return {**self.signed_spec, **self.place}


class Jobs(NamedTuple):
    """How many jobs a stage has, and how many of their results the store holds."""

    total: int
    done: int
