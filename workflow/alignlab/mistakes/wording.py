"""What to make of answers that do not end: whole sentences of them, or nothing.

pytest tests/mistakes/test_wording.py
"""

from __future__ import annotations

import re

from alignlab.metrics.repetition import repetition

LOOPS = 0.5
SENTENCE_END = re.compile(r"[.!?…][\"')\]]*(?=\s|\Z)|(?<=\S)(?=\s*\n)")


def whole_sentences(text: str, finish_reason: str) -> str:
    """An answer as far as its last finished sentence or line, if the length limit ended it.

    Whoever trains on half a sentence and an end token teaches a model to stop in mid-sentence.
    """
    if finish_reason != "length":
        return text
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else ""


def loops(text: str) -> bool:
    """Whether half of its word 4-grams or more have been there before."""
    return (repetition(text, 4) or 0) >= LOOPS
