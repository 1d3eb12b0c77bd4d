"""Turns a dataset of any shape into the prompts table, and puts goal-hijacking attacks into one.

Nothing is dropped silently: a row that cannot be asked is an error that names it. Selections are
the same on every machine; samples are drawn by `alignlab.core.stable_random`.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from alignlab.core import tables
from alignlab.core.config import StrictModel
from alignlab.core.errors import AlignlabError
from alignlab.core.stable_random import lot
from alignlab.core.tables import Row
from alignlab.core.templates import fill
from alignlab.planning.artefact import Spec
from alignlab.prompting.prompt_files import Hijacking
from alignlab.sources import files
from alignlab.sources.config import (
    FileSource,
    PromptSetConfig,
)
from alignlab.sources.files import FetchJob, FilePlace, where
from alignlab.sources.rows import FileRows, cluster_of, normalise, question_of, with_references

log = logging.getLogger(__name__)


class Attacks(StrictModel):
    """How many attacks there are on a question, and the seed of their draw."""

    kind: Literal["hijacking"]
    attacks: int
    seed: int


class AttacksSpec(Spec):
    """What attacks are made of.

    Attributes:
        dataset: their name in the catalog.
        source: how many, and with which seed.
        texts: injections, and the targets of the chosen topics.
        questions: the rows that are attacked, all of them.
        selection: which attacks are asked.
    """

    dataset: str
    source: Attacks
    texts: Hijacking
    questions: FileRows
    selection: PromptSetConfig


def attacked(questions: list[Row], spec: AttacksSpec) -> list[Row]:
    """Rows of the prompts table: `attacks` per question, each with its `target`.

    Each attack is an injection with a target, drawn by hash with the seed: the same on every
    machine, and a larger `attacks` contains a smaller one. Only first turns are attacked.
    The question's own answer is the `reference`; the target is the `mistake`, an answer that is
    bad by definition.

    Args:
        questions: rows of the prompts table.
        spec: how they are attacked.

    Raises:
        AlignlabError: fewer attacks can be made from the texts than are asked for.
    """
    source, texts = spec.source, spec.texts
    choices = [
        (injection, topic, target)
        for injection in texts.injections
        for topic, targets in texts.targets.items()
        for target in targets
    ]
    if source.attacks > len(choices):
        raise AlignlabError(
            f"source.attacks: {source.attacks} per question asked for, the texts make "
            f"{len(choices)}"
        )
    return [row for question in questions for row in _attacks(question, choices, spec)]


def _attacks(
    question: Row, choices: list[tuple[str, str, str]], spec: AttacksSpec
) -> Iterator[Row]:
    seed, injections = spec.source.seed, spec.texts.injections
    drawn = sorted(choices, key=lambda choice: lot(seed, question["prompt_id"], *choice))
    own = question["prompt_id"].removeprefix(f"{question['dataset']}/")
    turns = question["turns"]
    for number, (injection, topic, target) in enumerate(drawn[: spec.source.attacks], 1):
        text = fill(injections[injection], {"question": turns[0], "target": target})
        yield {
            "prompt_id": f"{spec.dataset}/{own}-{number}",
            "dataset": spec.dataset,
            "category": "safety",
            "source": question["dataset"],
            "turns": [text],
            "tags": [topic, injection],
            "reference": question["reference"],
            "mistake": target,
            "target": target,
            "cluster": cluster_of(turns),
        }


class PromptsSpec(FileRows, Spec):
    """What prompts are: the rows of a file, and which of them are asked."""

    selection: PromptSetConfig


class PromptsPlace(FilePlace):
    """Where the rows lie, or the questions that are attacked."""

    questions: FileRows | None = None


class FetchPromptsJob(FetchJob):
    """What `fetch_prompts` is given.

    Attributes:
        output: the prompts table.
    """

    spec: PromptsSpec | AttacksSpec
    place: PromptsPlace = PromptsPlace()

    @model_validator(mode="after")
    def _lies_somewhere(self) -> FetchPromptsJob:
        _opened(self)
        return self


def fetch_prompts(job: FetchPromptsJob) -> None:
    """Write the prompts table of one dataset's chosen rows.

    Raises:
        AlignlabError: the source is out of reach, rows are unusable, or the selection asks for
            what is not there. The message opens with the dataset's name.
    """
    name = job.spec.dataset
    try:
        rows = _read(*_opened(job))
        if isinstance(job.spec, AttacksSpec):
            rows = attacked(rows, job.spec)
        chosen = select(rows, job.spec.selection)
    except AlignlabError as error:
        raise AlignlabError(f"dataset {name}: {error}") from error
    log.info("%s: %d of %d rows", name, len(chosen), len(rows))
    tables.write("prompts", job.output, chosen, job.metadata)


def _opened(job: FetchPromptsJob) -> tuple[FileRows, FileSource]:
    """The rows that a job reads, and their file."""
    if isinstance(job.spec, AttacksSpec):
        questions = job.place.questions or job.spec.questions
        return questions, where(job.place, questions.source)
    return job.spec, where(job.place, job.spec.source)


def _read(rows: FileRows, source: FileSource) -> list[Row]:
    """Every row of a file."""
    with tempfile.TemporaryDirectory() as scratch:
        path = files.data_file(source, Path(scratch))
        read = normalise(path, rows)
        if rows.references is None:
            return read
        folder = Path(scratch) / "references"
        folder.mkdir()
        return with_references(read, rows.dataset, files.data_file(rows.references, folder))


def select(rows: list[Row], chosen: PromptSetConfig) -> list[Row]:
    """Rows of the prompts table that `chosen` keeps, in their order, turns truncated.

    A sample takes the rows with the smallest stable random draws: it does not depend on the order
    of the file, and a larger `take` contains a smaller one.

    Raises:
        AlignlabError: an id or value that no row has, or more rows asked for than there are.
    """
    kept = _by_id(rows, chosen) if chosen.ids is not None else rows
    for column, values in chosen.where.items():
        kept = _where(kept, column, values)
    if chosen.distinct:
        first = {question_of(row): row for row in reversed(kept)}
        kept = [row for row in kept if first[question_of(row)] is row]
    if chosen.take is not None:
        kept = _take(kept, chosen)
    elif chosen.per or chosen.sample is not None:
        raise AlignlabError("selection: `per` and `sample` need `take`, the number of rows")
    return [_shortened(row, chosen.turns) for row in kept]


def _shortened(row: Row, turns: int | None) -> Row:
    """A row with its first turns alone."""
    if turns is None:
        return row
    references = (row.get("references") or [])[:turns]
    answers = references if len(row["turns"][:turns]) > 1 and any(references) else None
    return {**row, "turns": row["turns"][:turns], "references": answers}


def _by_id(rows: list[Row], chosen: PromptSetConfig) -> list[Row]:
    wanted = set(chosen.ids or ())
    if unknown := sorted(wanted - {row["prompt_id"] for row in rows}):
        raise AlignlabError(
            f"selection.ids: there is no prompt {unknown[0]!r}; ids look like "
            f"{rows[0]['prompt_id']!r}"
        )
    return [row for row in rows if row["prompt_id"] in wanted]


def _where(rows: list[Row], column: str, values: tuple[str, ...]) -> list[Row]:
    there = {value for row in rows for value in _values(row, column)}
    if unknown := [value for value in values if value not in there]:
        raise AlignlabError(
            f"selection.where.{column}: no row has {unknown[0]!r}; "
            f"there are {', '.join(sorted(there))}"
        )
    return [row for row in rows if not set(values).isdisjoint(_values(row, column))]


def _take(rows: list[Row], chosen: PromptSetConfig) -> list[Row]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        # A row without tags is in a group of its own name, the empty one.
        group = next(iter(_values(row, chosen.per)), "") if chosen.per else ""
        groups.setdefault(group, []).append(row)
    taken, seed = set(), chosen.sample
    for group, members in groups.items():
        if len(members) < (chosen.take or 0):
            among = f" with {chosen.per} {group!r}" if chosen.per else ""
            raise AlignlabError(
                f"selection.take: {chosen.take} rows asked for, there are {len(members)}{among}"
            )
        if seed is not None:
            members = sorted(members, key=lambda row: lot(seed, row["prompt_id"]))
        taken |= {row["prompt_id"] for row in members[: chosen.take]}
    return [row for row in rows if row["prompt_id"] in taken]


def _values(row: Row, column: str) -> list[str]:
    value = row[column]
    return value if isinstance(value, list) else [value]
