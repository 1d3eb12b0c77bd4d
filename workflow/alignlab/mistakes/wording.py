"""Cutting answers that the length limit broke off.

pytest tests/mistakes/test_wording.py
"""

from __future__ import annotations

import re

SENTENCE_END = re.compile(r"[.!?…][\"')\]]*(?=\s|\Z)|(?<=\S)(?=\s*\n)")


def whole_sentences(text: str, finish_reason: str) -> str:
    """An answer as far as its last finished sentence or line, if the length limit ended it.

    Whoever trains on half a sentence and an end token teaches a model to stop in mid-sentence.
    """
    if finish_reason != "length":
        return text
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else ""
