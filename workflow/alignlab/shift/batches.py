"""Answers in windows that share a prompt's beginning, and in batches of like length.

snakemake --cores 2 --until score_shift
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from alignlab.prompting.encode import common_context
from alignlab.shift import BATCH_TOKENS
from alignlab.shift.answers import Answer

# Answers read, sorted by length and written together.
WINDOW = 256

Batch = list[Answer]


@dataclass(frozen=True)
class Window:
    """Some answers, and the ids that all their prompts begin with for either model."""

    batches: list[Batch]
    base_prefix: list[int]
    aligned_prefix: list[int]


def windows(answers: Iterable[Answer]) -> Iterator[Window]:
    """Cut answers into windows; the same answers always give the same batches."""
    left = iter(answers)
    while window := list(islice(left, WINDOW)):
        base = common_context(answer.base.context for answer in window)
        aligned = common_context(answer.aligned.context for answer in window)
        own = {
            answer.number: max(
                len(answer.base.fed) - len(base), len(answer.aligned.fed) - len(aligned)
            )
            for answer in window
        }
        window.sort(key=lambda answer: own[answer.number], reverse=True)
        yield Window(list(_batches(window, own)), base, aligned)


def _batches(window: list[Answer], own: dict[int, int]) -> Iterator[Batch]:
    """Runs of descending length whose padded size stays within BATCH_TOKENS, or single answers."""
    while window:
        rows = max(1, BATCH_TOKENS // own[window[0].number])
        yield window[:rows]
        window = window[rows:]
