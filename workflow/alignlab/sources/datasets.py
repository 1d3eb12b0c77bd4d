"""Turns a dataset of any shape into the prompts table.

    snakemake --cores 2 --until fetch_prompts

Nothing is dropped silently: a row that cannot be asked is an error that names it.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.sources import files, hijacking, preferences, records
from alignlab.sources.config import ColumnsConfig, PromptSetConfig
from alignlab.sources.records import Record
from alignlab.sources.selection import select

CATEGORIES = ("regular", "safety")
SHOWN = 5
log = logging.getLogger(__name__)


def fetch_prompts(spec: dict[str, Any], output: Path) -> None:
    """Write the prompts table of one dataset's chosen rows.

    `spec`: `dataset`, `source`, `columns`, `category` unless a column has it, `selection`, and
    `digest`; attacks have `texts` and `questions` in place of `columns` and `category`; see
    `alignlab.experiment.semantic_spec`.

    Raises:
        AlignlabError: the source is out of reach, rows are unusable, or the selection asks for
            what is not there. The message opens with the dataset's name.
    """
    name = spec["dataset"]
    try:
        rows = _rows(spec)
        chosen = select(rows, PromptSetConfig(**spec["selection"]))
    except AlignlabError as error:
        raise AlignlabError(f"dataset {name}: {error}") from error
    log.info("%s: %d of %d rows", name, len(chosen), len(rows))
    tables.write("prompts", output, chosen, spec)


def _rows(spec: dict[str, Any]) -> list[Row]:
    """Every row of a dataset."""
    if spec["source"]["kind"] == "hijacking":
        return hijacking.attacked(_rows(spec["questions"]), spec)
    with tempfile.TemporaryDirectory() as scratch:
        path = files.data_file(spec["source"], Path(scratch))
        found, columns = records.read(path), ColumnsConfig(**spec["columns"])
        return normalise(found, spec["dataset"], columns, spec.get("category"), path)


def normalise(
    found: list[Record], dataset: str, columns: ColumnsConfig, category: str | None, path: Path
) -> list[Row]:
    """Records as rows of the prompts table; ids are row numbers (from 0) without an id column.

    Raises:
        AlignlabError: a column is missing; a question is empty, an id occurs twice, or a category
            is unknown: the message counts such rows and shows the first five; no row has exactly
            one safe answer.
    """
    records.require_columns(found, _named(columns), path)
    rows = [_row(record, number, dataset, columns, category) for number, record in enumerate(found)]
    _check(rows, path)
    if columns.preference:
        return preferences.with_one_safe(rows, found, columns.preference, path)
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
    turns = given if isinstance(given, list) else [None]
    return {
        "prompt_id": f"{dataset}/{record.get(columns.id) if columns.id else number}",
        "dataset": dataset,
        "category": record.get(columns.category) if columns.category else category,
        "source": str(record.get(columns.source) or "") if columns.source else dataset,
        "turns": [turn.strip() if isinstance(turn, str) else "" for turn in turns],
        "tags": [tag for name in columns.tags for tag in _texts(record.get(name))],
        "reference": _answer(record, columns.reference),
        "mistake": _answer(record, columns.mistake),
        "target": None,
    }


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
