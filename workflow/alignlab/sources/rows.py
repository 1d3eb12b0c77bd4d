"""Records of a file of any shape as rows of the prompts table, each cell checked.

Nothing is guessed: an absent cell is None, and any other value that is no text is an error that
names row and column.
"""

from __future__ import annotations

import logging
import re
import reprlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from alignlab.core.config import StrictModel
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.planning.digest import config_digest
from alignlab.sources import records
from alignlab.sources.config import ColumnsConfig, FileSource, PinnedSource, PreferenceConfig
from alignlab.sources.records import Record

log = logging.getLogger(__name__)
CATEGORIES = ("regular", "safety")
SHOWN = 5
TRUTH = {"true": True, "false": False}


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


def normalise(path: Path, given: FileRows) -> list[Row]:
    """Records of a file as rows of the prompts table; without an id column, ids count from 0.

    Raises:
        AlignlabError: a column is missing; a question is empty, a cell is no text, an id occurs
            twice, or a category is unknown: the message counts such rows and shows the first five;
            no row has exactly one safe answer.
    """
    columns, found = given.columns, records.read(path, _named(given.columns))
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
    questions = Counter(question_of(row) for row in rows)
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
        "cluster": cluster_of(turns),
    }


def question_of(row: Row) -> tuple[str, ...]:
    """What two rows have in common that ask the same: white space around a turn says nothing."""
    return tuple(turn.strip() for turn in row["turns"])


def cluster_of(turns: list[str]) -> str:
    """Rows that open with one question: answers to it are the same, or nearly so."""
    return config_digest(records.normalised("".join(turns[:1])).casefold())


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
    for number, record in enumerate(records.read(path, ("question_id", "choices"))):
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
        return ["\n\n".join([asked, *_texts(record, columns.context)])], []
    assert columns.turns
    cell, name = record[columns.turns], f"column {columns.turns!r}"
    if not isinstance(cell, list) or not cell:
        raise ValueError(
            f"{name}: found {reprlib.repr(cell)}, expected a list of questions, or of chat "
            "messages with `role` and `content`"
        )
    if any(isinstance(item, dict) for item in cell):
        return _messages(cell, name)
    return [_required(item, f"{name}, turn {n}") for n, item in enumerate(cell, 1)], []


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
    asked = said[::step]
    answers: list[str | None] = [*said[1::step]] if step == 2 else []
    return asked, answers + [None] * (len(asked) - len(answers)) if answers else []


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
        answers = [text or "" for text in said]
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
