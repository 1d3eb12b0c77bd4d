"""A text as its sentences, for rules that read answers and for what is learnt from them.

pytest tests/metrics/test_sentences.py
"""

from __future__ import annotations

import re

SENTENCE_END = re.compile(r"(?<=[.!?])[\"')*]*\s+|\n+")


def plain(text: str) -> str:
    """The text with straight apostrophes, as the rules are written."""
    return text.replace("’", "'")


def sentences(text: str) -> list[str]:
    """Split at line ends and after `.`, `!` or `?`: rough, but the same for every arm."""
    return [part for part in SENTENCE_END.split(plain(text).strip()) if part]
