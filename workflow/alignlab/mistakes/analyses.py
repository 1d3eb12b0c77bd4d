"""What an analyst said, as far as it can be learnt from: whole sentences, and no loops.

pytest tests/mistakes/test_analyses.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from alignlab import tables
from alignlab.metrics.repetition import repetition

LOOPS = 0.5
SENTENCE_END = re.compile(r"[.!?…][\"')\]]*(?=\s|\Z)|(?<=\S)(?=\s*\n)")


def analyses_of(responses: Path) -> Mapping[str, str]:
    """What the analyst said, by question, down to the last whole sentence; it may be nothing.

    What only repeats itself is nothing: it would teach a model to loop.
    """
    return {
        row["prompt_id"]: "" if loops(text) else text
        for row in tables.rows("responses", responses)
        if row["sample"] == 0
        for text in [whole_sentences(row["text"], row["finish_reason"])]
    }


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
