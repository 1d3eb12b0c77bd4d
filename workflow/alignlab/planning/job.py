"""What a job is given: one frozen object, made by the plan and validated once.

    with job(snakemake, MeasureJob) as given:
        measure(given)

`Artefact.job` writes it as JSON; a job reads it and plans nothing again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import ModelWrapValidatorHandler, PrivateAttr, model_validator

from alignlab.core.config import StrictModel


class Spec(StrictModel):
    """The semantic slice of an artefact; a subclass names the keys of its stage."""

    code: dict[str, int | str] = {}
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
