"""Pairs of answers of which one is safe: the good one and the mistake of each question.

    columns: {prompt: prompt, preference: {answers: [response_0, response_1], safe: [...]}}

The selection of Learning from Mistakes on PKU-SafeRLHF, whose questions recur with several pairs.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from pathlib import Path

from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.sources.config import PreferenceConfig
from alignlab.sources.records import Record

TRUTH = {"true": True, "false": False}
log = logging.getLogger(__name__)


def with_one_safe(
    rows: list[Row], found: list[Record], columns: PreferenceConfig, path: Path
) -> list[Row]:
    """The rows with exactly one safe answer, as their `reference`; the other is their `mistake`.

    Of rows with the same question (case, punctuation and spacing aside) the first such row is
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
