"""Turns a dataset of any shape into the prompts table, and puts goal-hijacking attacks into one.

Nothing is dropped silently: a row that cannot be asked is an error that names it. Selections are
the same on every machine; samples are drawn by `alignlab.core.stable_random`.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from alignlab.core import tables
from alignlab.core.config import StrictModel
from alignlab.core.errors import AlignlabError
from alignlab.core.stable_random import lot
from alignlab.core.tables import Row
from alignlab.core.templates import fill
from alignlab.planning.artefact import Spec
from alignlab.planning.digest import config_digest
from alignlab.prompting.prompt_files import Hijacking
from alignlab.sources import files
from alignlab.sources.config import ColumnsConfig, FileSource, PreferenceConfig, PromptSetConfig
from alignlab.sources.files import FetchJob, FilePlace, FileRows, Record, where

log = logging.getLogger(__name__)
CATEGORIES = ("regular", "safety")
SHOWN = 5
TRUTH = {"true": True, "false": False}


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
            # Answers to several turns are one text, which is no answer to the first.
            "reference": question["reference"] if len(turns) == 1 else None,
            "mistake": target,
            "target": target,
            "cluster": _cluster(turns),
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
        return normalise(files.read(path), rows.dataset, rows.columns, rows.category, path)


def normalise(
    found: list[Record], dataset: str, columns: ColumnsConfig, category: str | None, path: Path
) -> list[Row]:
    """Records as rows of the prompts table; ids are row numbers (from 0) without an id column.

    Raises:
        AlignlabError: a column is missing; a question is empty, an id occurs twice, or a category
            is unknown: the message counts such rows and shows the first five; no row has exactly
            one safe answer.
    """
    files.require_columns(found, _named(columns), path)
    rows = [_row(record, number, dataset, columns, category) for number, record in enumerate(found)]
    _check(rows, path)
    if columns.preference:
        return with_one_safe(rows, found, columns.preference, path)
    questions = Counter(tuple(row["turns"]) for row in rows)
    if repeats := len(rows) - len(questions):
        log.warning("%s: %d rows repeat an earlier question; they are kept", dataset, repeats)
    return rows


def _named(columns: ColumnsConfig) -> list[str]:
    """The columns that a mapping names."""
    single = (columns.prompt, columns.turns, columns.id, columns.category, columns.source)
    answers = [columns.reference, columns.mistake]
    if columns.preference:
        answers += [*columns.preference.answers, *columns.preference.safe]
    return [name for name in (*single, columns.context, *answers, *columns.tags) if name]


def _row(
    record: Record, number: int, dataset: str, columns: ColumnsConfig, category: str | None
) -> Row:
    given = record.get(columns.turns) if columns.turns else [_question(record, columns)]
    listed = given if isinstance(given, list) else [None]
    turns = [turn.strip() if isinstance(turn, str) else "" for turn in listed]
    return {
        "prompt_id": f"{dataset}/{record.get(columns.id) if columns.id else number}",
        "dataset": dataset,
        "category": record.get(columns.category) if columns.category else category,
        "source": str(record.get(columns.source) or "") if columns.source else dataset,
        "turns": turns,
        "tags": [tag for name in columns.tags for tag in _texts(record.get(name))],
        "reference": _answer(record, columns.reference),
        "mistake": _answer(record, columns.mistake),
        "target": None,
        "cluster": _cluster(turns),
    }


def _cluster(turns: list[str]) -> str:
    """Rows that open with one question: answers to it are the same, or nearly so."""
    return config_digest(files.normalised("".join(turns[:1])).casefold())


def _question(record: Record, columns: ColumnsConfig) -> Any:
    """The one question of a row, with the text that it is about."""
    asked = record.get(columns.prompt or "")
    context = _texts(record.get(columns.context or ""))
    return "\n\n".join([asked, *context]) if context and isinstance(asked, str) else asked


def _answer(record: Record, column: str | None) -> str | None:
    """An answer; those to several turns are one text."""
    return "\n\n".join(_texts(record.get(column or ""))) or None


def _texts(value: Any) -> list[str]:
    """A cell that holds a text, a list of texts, or nothing."""
    values = value if isinstance(value, list) else [value]
    return [str(item) for item in values if item not in (None, "")]


def _check(rows: list[Row], path: Path) -> None:
    seen: Counter[str] = Counter()
    problems = []
    for number, row in enumerate(rows):
        seen[row["prompt_id"]] += 1
        if not row["turns"] or not all(row["turns"]):
            problems.append(f"row {number} ({row['prompt_id']}): the question is empty or no text")
        if seen[row["prompt_id"]] > 1:
            problems.append(f"row {number}: the id {row['prompt_id']} occurs twice")
        if row["category"] not in CATEGORIES:
            problems.append(f"row {number}: category {row['category']!r} is not regular or safety")
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        shown = "".join(f"\n  {problem}" for problem in problems[:SHOWN])
        raise AlignlabError(f"{path}: {len(problems)} problems, rows counted from 0:{shown}{more}")


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
        first = {tuple(row["turns"]): row for row in reversed(kept)}
        kept = [row for row in kept if first[tuple(row["turns"])] is row]
    if chosen.take is not None:
        kept = _take(kept, chosen)
    elif chosen.per or chosen.sample is not None:
        raise AlignlabError("selection: `per` and `sample` need `take`, the number of rows")
    return [{**row, "turns": row["turns"][: chosen.turns]} for row in kept]


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


def with_one_safe(
    rows: list[Row], found: list[Record], columns: PreferenceConfig, path: Path
) -> list[Row]:
    """The rows with exactly one safe answer, as their `reference`; the other is their `mistake`.

    Of rows with the same question (up to case, punctuation and spacing) the first such row is
    kept, so that training and evaluation can be split by question. What is left out is counted
    in the log.

    Args:
        rows: rows of the prompts table without these two columns.
        found: the records they come from, in the same order.
        columns: which columns hold answers and labels.
        path: the file, for messages.

    Raises:
        AlignlabError: a label is neither true nor false, or no row is left.
    """
    kept: dict[tuple[str, ...], Row] = {}
    dropped: Counter[str] = Counter()
    for number, (row, record) in enumerate(zip(rows, found, strict=True)):
        labels = [_label(record, name, number, path) for name in columns.safe]
        answers = [str(record.get(name) or "").strip() for name in columns.answers]
        question = tuple(_normalised(turn) for turn in row["turns"])
        if labels[0] == labels[1]:
            dropped["both answers are safe" if labels[0] else "neither answer is safe"] += 1
        elif not all(answers):
            dropped["an answer is empty"] += 1
        elif question in kept:
            dropped["the question occurs earlier"] += 1
        else:
            good, bad = answers if labels[0] else reversed(answers)
            kept[question] = {**row, "reference": good, "mistake": bad}
    counted = ", ".join(f"{count} because {reason}" for reason, count in dropped.items())
    if not kept:
        raise AlignlabError(f"{path}: no row has exactly one safe answer; dropped: {counted}")
    if dropped:
        log.warning("%s: %d of %d rows kept; dropped: %s", path, len(kept), len(rows), counted)
    return list(kept.values())


def _label(record: Record, column: str, number: int, path: Path) -> bool:
    value = record.get(column)
    try:
        return TRUTH[str(value).casefold()]  # a CSV file has texts
    except KeyError:
        raise AlignlabError(
            f"{path}: row {number}, counted from 0: {column} is {value!r}, expected true or false"
        ) from None


def _normalised(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold())) or text
