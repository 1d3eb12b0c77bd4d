"""Turns a dataset of any shape into the prompts table, and puts goal-hijacking attacks into one.

Nothing is dropped silently: a row that cannot be asked is an error that names it. Selections are
the same on every machine; samples are drawn by `alignlab.core.stable_random`.
"""

from __future__ import annotations

import logging
import re
import reprlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
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
from alignlab.sources.config import (
    ColumnsConfig,
    FileSource,
    PinnedSource,
    PreferenceConfig,
    PromptSetConfig,
)
from alignlab.sources.files import FetchJob, FilePlace, Record, where

log = logging.getLogger(__name__)
CATEGORIES = ("regular", "safety")
SHOWN = 5
TRUTH = {"true": True, "false": False}


class Attacks(StrictModel):
    """How many attacks there are on a question, and the seed of their draw."""

    kind: Literal["hijacking"]
    attacks: int
    seed: int


class FileRows(StrictModel):
    """Rows of a file, as questions.

    Attributes:
        dataset: the name that their ids open with.
        columns: which column holds what.
        category: of every row, unless a column says it.
        source: where the file comes from, if it is pinned; of a job's place, in any case.
        references: the file with reference answers, if there is one.
        content: digest of a local file.
    """

    dataset: str
    columns: ColumnsConfig
    category: Literal["regular", "safety"] | None = None
    source: FileSource | None = None
    references: PinnedSource | None = None
    content: str | None = None


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
        read = normalise(path, rows)
        if rows.references is None:
            return read
        folder = Path(scratch) / "references"
        folder.mkdir()
        return with_references(read, rows.dataset, files.data_file(rows.references, folder))


def normalise(path: Path, given: FileRows) -> list[Row]:
    """Records of a file as rows of the prompts table; without an id column, ids count from 0.

    Raises:
        AlignlabError: a column is missing; a question is empty, a cell is no text, an id occurs
            twice, or a category is unknown: the message counts such rows and shows the first five;
            no row has exactly one safe answer.
    """
    columns, found = given.columns, files.read(path, _named(given.columns))
    rows, problems, seen = [], [], set()
    for number, record in enumerate(found):
        try:
            row = _row(record, number, given)
            if row["prompt_id"] in seen:
                raise ValueError(f"the id {row['prompt_id']} occurs twice")
            seen.add(row["prompt_id"])
            rows.append(row)
        except ValueError as error:
            problems.append(f"row {number}: {error}")
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        shown = "".join(f"\n  {problem}" for problem in problems[:SHOWN])
        raise AlignlabError(f"{path}: {len(problems)} problems, rows counted from 0:{shown}{more}")
    if columns.preference:
        return with_one_safe(rows, found, columns.preference, path)
    questions = Counter(tuple(row["turns"]) for row in rows)
    if repeats := len(rows) - len(questions):
        log.warning("%s: %d rows repeat an earlier question; they are kept", given.dataset, repeats)
    return rows


def _named(columns: ColumnsConfig) -> list[str]:
    """The columns that a mapping names."""
    single = (columns.prompt, columns.turns, columns.id, columns.category, columns.source)
    answers = [columns.reference, columns.mistake]
    if columns.preference:
        answers += [*columns.preference.answers, *columns.preference.safe]
    return [name for name in (*single, columns.context, *answers, *columns.tags) if name]


def _row(record: Record, number: int, given: FileRows) -> Row:
    """A record as a row of the prompts table.

    Raises:
        ValueError: a cell is not what its column should hold.
    """
    columns = given.columns
    turns, said = _conversation(record, columns)
    if said and (columns.reference or columns.preference):
        raise ValueError(
            f"column {columns.turns!r}: what the assistant says is the reference; `columns` must "
            "name no other one"
        )
    source: str = given.dataset
    category: str | None = given.category
    if columns.source:
        source = _text(record[columns.source], f"column {columns.source!r}") or ""
    if columns.category:
        category = _text(record[columns.category], f"column {columns.category!r}")
    if category not in CATEGORIES:
        raise ValueError(f"category {category!r} is not regular or safety")
    return {
        "prompt_id": f"{given.dataset}/{_id(record, columns.id) if columns.id else number}",
        "dataset": given.dataset,
        "category": category,
        "source": source,
        "turns": turns,
        "tags": [tag for name in columns.tags for tag in _texts(record, name)],
        **_referred(said or _cells(record, columns.reference), turns),
        "mistake": "\n\n".join(_texts(record, columns.mistake)) or None,
        "target": None,
        "cluster": _cluster(turns),
    }


def _cluster(turns: list[str]) -> str:
    """Rows that open with one question: answers to it are the same, or nearly so."""
    return config_digest(files.normalised("".join(turns[:1])).casefold())


def _id(record: Record, column: str) -> str:
    """A text or a whole number; any other number has several spellings."""
    value, name = record[column], f"column {column!r}"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _required(value, name, "text or a whole number")


def _referred(answers: Sequence[str | None], turns: Sequence[str]) -> Row:
    """The columns with reference answers.

    Raises:
        ValueError: of several turns some are answered, and there is not an answer for each.
    """
    if len(turns) == 1:
        return {"reference": "\n\n".join(filter(None, answers)) or None, "references": None}
    if not any(answers):
        return {"reference": None, "references": None}
    if len(answers) != len(turns):
        raise ValueError(
            f"{len(answers)} reference answers to {len(turns)} turns; expected a list with one for "
            "each, empty if none"
        )
    return {"reference": answers[0], "references": list(answers)}


def with_references(rows: list[Row], dataset: str, path: Path) -> list[Row]:
    """The rows with the reference answers of a file in FastChat's form.

    Args:
        rows: rows of the prompts table.
        dataset: the name that their ids open with.
        path: the file: `question_id`, and `choices`, whose first has a list `turns`.

    Raises:
        AlignlabError: a record has another form, has no row or one with another number of turns,
            or is the second for its row.
    """
    known = {row["prompt_id"]: row for row in rows}
    found: dict[str, Row] = {}
    for number, record in enumerate(files.read(path, ("question_id", "choices"))):
        name = f"{dataset}/{record['question_id']}"
        try:
            said = [_text(answer, name) for answer in record["choices"][0]["turns"]]
        except (KeyError, IndexError, TypeError, ValueError):
            said = []
        turns = known[name]["turns"] if name in known else []
        if name in found or not said or len(said) != len(turns):
            raise AlignlabError(
                f"{path.name}: record {number}, counted from 0, answers {name!r}, which has "
                f"{len(turns) or 'no'} turns: expected the `question_id` of a row, each once, and "
                "a list `choices[0].turns` with an answer for each of its turns"
            )
        found[name] = _referred(said, turns)
    return [{**row, **found.get(row["prompt_id"], {})} for row in rows]


def _conversation(record: Record, columns: ColumnsConfig) -> tuple[list[str], list[str | None]]:
    """What the user says, one text a turn, and what the assistant of chat messages says."""
    if columns.prompt:
        asked = _required(record[columns.prompt], f"column {columns.prompt!r}")
        return [_question("\n\n".join([asked, *_texts(record, columns.context)]))], []
    assert columns.turns
    cell, name = record[columns.turns], f"column {columns.turns!r}"
    if not isinstance(cell, list) or not cell:
        raise ValueError(
            f"{name}: found {reprlib.repr(cell)}, expected a list of questions, or of chat "
            "messages with `role` and `content`"
        )
    if any(isinstance(item, dict) for item in cell):
        return _messages(cell, name)
    return [_question(_required(item, f"{name}, turn {n}")) for n, item in enumerate(cell, 1)], []


def _messages(cell: list[Any], name: str) -> tuple[list[str], list[str | None]]:
    """Chat messages: those of the user alone, or in turn with those of the assistant."""
    messages = [item if isinstance(item, dict) else {} for item in cell]
    roles = [message.get("role") for message in messages]
    if roles not in (["user"] * len(roles), (["user", "assistant"] * len(roles))[: len(roles)]):
        raise ValueError(
            f"{name}: the roles are {', '.join(map(reprlib.repr, roles))}; expected 'user' and "
            "'assistant' in turn, or 'user' alone (a system message is `method.system` of an arm)"
        )
    said = [
        _required(message.get("content"), f"{name}, `content` of message {number}")
        for number, message in enumerate(messages, 1)
    ]
    step = 1 if "assistant" not in roles else 2
    asked = [_question(text) for text in said[::step]]
    answers: list[str | None] = [*said[1::step]] if step == 2 else []
    return asked, answers + [None] * (len(asked) - len(answers)) if answers else []


def _question(text: str) -> str:
    """A question as it is asked: without blank lines before it and white space behind it."""
    return re.sub(r"\A(?:[^\S\n]*\n)+", "", text).rstrip()


def _text(value: Any, name: str, expected: str = "text") -> str | None:
    """A value that should be text; None if it is absent, or white space alone.

    Raises:
        ValueError: it is something else.
    """
    if value is None or isinstance(value, str):
        return value if value and value.strip() else None
    raise ValueError(f"{name}: found {reprlib.repr(value)}, expected {expected}")


def _required(value: Any, name: str, expected: str = "text") -> str:
    if (found := _text(value, name, expected)) is None:
        raise ValueError(f"{name} is empty, expected {expected}")
    return found


def _texts(record: Record, column: str | None) -> list[str]:
    """The texts of a cell that holds one, a list of them, or nothing."""
    found = _cells(record, column)
    return [text for text in found if text is not None]


def _cells(record: Record, column: str | None) -> list[str | None]:
    """The same, with None in the place of what is absent."""
    value = record[column] if column else None
    values = value if isinstance(value, list) else [value]
    return [_text(item, f"column {column!r}") for item in values]


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
        try:
            labels = [_label(record[name], name) for name in columns.safe]
            said = [_text(record[name], f"column {name!r}") for name in columns.answers]
        except ValueError as error:
            raise AlignlabError(f"{path}: row {number}, counted from 0: {error}") from None
        answers = [(text or "").strip() for text in said]
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


def _label(value: Any, column: str) -> bool:
    try:
        return TRUTH[str(value).casefold()]  # a CSV file has texts
    except KeyError:
        found = reprlib.repr(value)
        raise ValueError(f"column {column!r}: found {found}, expected true or false") from None


def _normalised(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold())) or text
