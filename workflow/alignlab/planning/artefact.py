"""Artefacts, the `Stage` protocol that describes a kind of them, and the typed jobs that make them.

An artefact's name ends in a digest of its semantic slice and of its parents' digests, so a changed
value gives a new name and an unchanged one is never computed again, in whichever experiment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import ModelWrapValidatorHandler, PrivateAttr, model_validator

from alignlab.core.config import StrictModel
from alignlab.planning.digest import config_digest
from alignlab.planning.forecast import (
    ROW,
    Cost,
    ExpectedQuestion,
    Need,
    RuntimeConfig,
    Speeds,
    Task,
)
from alignlab.planning.versions import Unit, code_of

RESULTS = Path("results")
STORE = RESULTS / "store"
Slice = dict[str, Any]
Parents = Mapping[str, "Artefact | Sequence[Artefact] | Mapping[str, Any]"]


def _alone(artefact: Artefact) -> tuple[str, ...]:
    return ()


def _small(artefact: Artefact, speeds: Speeds) -> Cost:
    return Cost(artefact.stage, disk=ROW)


def _none_asked(artefact: Artefact) -> list[ExpectedQuestion]:
    return []


def _none_added(made: Sequence[Artefact]) -> list[Artefact]:
    return []


@dataclass(frozen=True)
class Progress:
    """How the speed of a stage's jobs follows from what a finished one made.

    Attributes:
        task: from the spec of a finished table to its task; None if no local model had a part.
        column: the column whose sum counts what was done; rows count if there is none.
        table: the table's name inside the artefact, where that is a folder; its columns `tokens`
            and `seconds` grow over all attempts, and their ends count.
    """

    task: Callable[[Slice], Task | None]
    column: str | None = None
    table: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A kind of artefact: everything that is true of each of them.

    Attributes:
        name: its folder in the store; two stages may fill one, in different ways.
        units: code that makes every artefact of it; an artefact may name more.
        table: the schema of its file (`alignlab.core.schemas`); None for a folder.
        beside: tables that the same job writes into the same folder, with the same digest.
        needs: memory and GPUs of a job, by its attempt; None where no job loads a model.
        cost: what making one costs, at most.
        questions: the rows that it holds to be asked, known or expected.
        progress: how the speed of its jobs is measured; None where they run no model.
        added: artefacts of it that a plan gets for what it has: checks, counts, and whatever else
            no entry of the experiment names.
    """

    name: str
    units: tuple[Unit, ...]
    table: str | None
    beside: Callable[[Artefact], tuple[str, ...]] = _alone
    needs: Callable[[Artefact, RuntimeConfig, int], Need] | None = None
    cost: Callable[[Artefact, Speeds], Cost] = _small
    questions: Callable[[Artefact], list[ExpectedQuestion]] = _none_asked
    progress: Progress | None = None
    added: Callable[[Sequence[Artefact]], list[Artefact]] = _none_added


@dataclass(frozen=True, eq=False)
class Artefact:
    """One file or folder, in the store or among an experiment's results.

    Attributes:
        kind: what it is.
        name: readable, unique within its stage together with the digest.
        content: what its own config says.
        parents: the artefacts that it is made from, by role: one, a list, or either by name.
        place: what else a job needs, which may differ between machines, such as a path.
        units: code behind it, in addition to that of its stage.
        facts: what forecasts need to know of it; its stage says what that is.
        home: the folder of an experiment's own tables or pages; None for the store.
    """

    kind: Stage
    name: str
    content: Slice
    parents: Parents = field(default_factory=dict)
    place: dict[str, Any] = field(default_factory=dict)
    units: tuple[Unit, ...] = ()
    facts: Any = None
    home: Path | None = None

    @property
    def stage(self) -> str:
        """Name of its stage."""
        return self.kind.name

    @cached_property
    def slice(self) -> Slice:
        """What its own config and code say."""
        return {**self.content, "code": code_of(*self.kind.units, *self.units)}

    @cached_property
    def spec(self) -> Slice:
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
        if self.home:  # what is no table fills it together with others
            return self.home / f"{self.stage}.parquet" if self.kind.table else self.home
        suffix = ".parquet" if self.kind.table else ""
        return STORE / self.stage / f"{self.key}{suffix}"

    @property
    def tables(self) -> dict[str, Path]:
        """Schema → file of every table that it is; none for a folder."""
        if self.kind.table is None:
            return {}
        beside = {name: self.path.with_name(f"{name}.parquet") for name in self.kind.beside(self)}
        return {self.kind.table: self.path, **beside}

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
    def signed_spec(self) -> Slice:
        """The spec with its digest, as table metadata and Snakemake's params get it."""
        return {**self.spec, "digest": self.digest}

    def job(self, **more: Any) -> str:
        """What the job that makes it is given: JSON of a `Job` of its stage.

        Args:
            more: what the run decides, such as the size of a batch.
        """
        given: dict[str, Any] = {role: _paths(parent) for role, parent in self.parents.items()}
        given |= {"spec": self.signed_spec, "place": self.place, "key": self.key}
        given |= {"output": str(self.home or self.path), "made_of": list(self._tables())}
        given |= {"aside": str(aside_of(self.key)), "note": str(self.note)}
        given["replies"] = str(self.replies)
        return json.dumps({**given, **more})  # in the order of the experiment

    def _tables(self) -> Iterator[tuple[str, str, str]]:
        """Path, table and digest of every table that it is made from."""
        for parent in _each(self.parents):
            for table, path in parent.tables.items():
                yield str(path), table, parent.digest

    def parent(self, role: str) -> list[Artefact]:
        """The parents with a role: none, one or several."""
        return list(_each(self.parents.get(role, [])))

    def questions(self) -> list[ExpectedQuestion]:
        """The rows that it holds to be asked; see `Stage.questions`."""
        return self.kind.questions(self)

    def cost(self, speeds: Speeds) -> Cost:
        """What making it costs, whether or not it is there."""
        return self.kind.cost(self, speeds)

    def needs(self, runtime: RuntimeConfig, attempt: int = 1) -> Need:
        """What a job reserves that makes it.

        Raises:
            TypeError: no job of its stage loads a model.
        """
        if self.kind.needs is None:
            raise TypeError(f"stage {self.stage} loads no model")
        return self.kind.needs(self, runtime, attempt)


def replies_of(stage: str, name: str) -> Path:
    """Every reply of an endpoint, by name alone: what was paid for outlives a digest."""
    return STORE / "replies" / f"{stage}.{name}.jsonl"


def note_of(key: str) -> Path:
    """How many rows an endpoint failed to fill; see `alignlab.endpoints.replies`."""
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


def _each(parents: Any) -> Iterator[Artefact]:
    if isinstance(parents, Artefact):
        yield parents
    else:
        for parent in parents.values() if isinstance(parents, Mapping) else parents:
            yield from _each(parent)


def _paths(parents: Any) -> Any:
    if isinstance(parents, Artefact):
        return str(parents.path)
    if isinstance(parents, Mapping):
        return {name: _paths(parent) for name, parent in parents.items()}
    return [_paths(parent) for parent in parents]


def _digests(parents: Any) -> Any:
    if isinstance(parents, Artefact):
        return parents.digest
    if isinstance(parents, Mapping):
        return {name: _digests(parent) for name, parent in parents.items()}
    return [_digests(parent) for parent in parents]


class Spec(StrictModel):
    """The semantic slice of an artefact; a subclass names the keys of its stage."""

    code: dict[str, str] = {}
    parents: dict[str, Any] = {}
    digest: str = ""
    _given: dict[str, Any] = PrivateAttr()

    @model_validator(mode="wrap")
    @classmethod
    def _remembered(cls, given: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        spec = validate(given)
        spec._given = given if isinstance(given, dict) else given._given
        return spec

    @property
    def signed(self) -> dict[str, Any]:
        """As it was given: what the metadata of a table says."""
        return self._given


class MadeOf(NamedTuple):
    """A table that a job reads: where it lies, and what its metadata must say of it."""

    path: Path
    table: str
    digest: str


class Job(StrictModel):
    """What every job is given; a subclass narrows `spec` and names the roles of its parents.

    One that goes on after a kill, or asks an endpoint, also narrows `aside`, `replies` and `note`
    to paths, so that none is forgotten.

    Attributes:
        spec: the semantic slice, signed with its digest.
        place: what may differ between machines, such as where a local file lies; a subclass says
            in which form.
        key: name of the artefact, with its digest.
        output: the file or folder to make; for tables and pages of an experiment, their folder.
        aside: where finished rows wait, from which a job goes on after another was killed.
        replies: every reply of an endpoint for a table of this stage and name.
        note: where failures of an endpoint are counted.
        made_of: every table that it reads.
    """

    spec: Spec
    place: Any = {}
    key: str = ""
    output: Path
    aside: Path | None = None
    replies: Path | None = None
    note: Path | None = None
    made_of: tuple[MadeOf, ...] = ()
