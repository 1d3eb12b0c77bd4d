"""An artefact of the store: its name, its place and the digest of what it is made from.

alignlab check demo                         # print every artefact of an experiment
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from alignlab.planning.digest import config_digest

RESULTS = Path("results")
STORE = RESULTS / "store"
# Stages whose artefacts are folders; the others are tables.
FOLDERS = ("models", "adapters")


@dataclass(frozen=True, eq=False)
class Artefact:
    """One file or folder of the store.

    `slice` is what its own config and code say; `parents` are the artefacts it is made from, by
    role; `place` is what a job needs besides, such as the path of a local file, which may differ
    between machines.
    """

    stage: str
    name: str
    slice: dict[str, Any]
    parents: dict[str, Artefact | Sequence[Artefact]] = field(default_factory=dict)
    place: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The semantic slice with the parents' digests: all that the content may depend on."""
        if not self.parents:
            return self.slice
        return {**self.slice, "parents": {role: _digests(p) for role, p in self.parents.items()}}

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
    def replies(self) -> Path:
        """See `replies_of`."""
        return replies_of(self.stage, self.name)

    @property
    def note(self) -> Path:
        """See `note_of`."""
        return note_of(self.key)

    @property
    def runtime(self) -> dict[str, Any]:
        """How an endpoint is asked for it; empty if none is."""
        return self.place.get("runtime", {})

    @property
    def signed_spec(self) -> dict[str, Any]:
        """The spec with its digest, as table metadata and Snakemake's params get it."""
        return {**self.spec, "digest": self.digest}

    @property
    def job_spec(self) -> dict[str, Any]:
        """The signed spec with places, as the job that makes the artefact gets it."""
        return {**self.signed_spec, **self.place}

    def parent(self, role: str) -> list[Artefact]:
        """The parents with a role: none, one or several."""
        found = self.parents.get(role, [])
        return [found] if isinstance(found, Artefact) else list(found)


def replies_of(stage: str, name: str) -> Path:
    """Every reply of an endpoint, by name alone: what was paid for outlives a digest."""
    return STORE / "replies" / f"{stage}.{name}.jsonl"


def note_of(key: str) -> Path:
    """How many rows an endpoint failed to fill; see `alignlab.endpoints.attempts`."""
    return STORE / "replies" / f"{key}.json"


def aside_of(key: str) -> Path:
    """What a job has finished of an artefact, from which one that is killed goes on."""
    return STORE / "aside" / key


def lineage(artefacts: Iterable[Artefact]) -> Iterator[Artefact]:
    """Artefacts and all that they are made from, each once, parents first."""
    seen: set[tuple[str, str]] = set()

    def walk(artefact: Artefact) -> Iterator[Artefact]:
        if (artefact.stage, artefact.key) not in seen:
            seen.add((artefact.stage, artefact.key))
            for role in artefact.parents:
                for parent in artefact.parent(role):
                    yield from walk(parent)
            yield artefact

    for artefact in artefacts:
        yield from walk(artefact)


def _digests(parents: Artefact | Sequence[Artefact]) -> str | list[str]:
    return parents.digest if isinstance(parents, Artefact) else [p.digest for p in parents]
