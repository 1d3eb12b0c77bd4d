"""What an analyst said, as far as it can be learnt from: its own words, whole sentences, no loops.

pytest tests/mistakes/test_analyses.py
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from alignlab.core import tables
from alignlab.metrics.repetition import repetition, words
from alignlab.metrics.sentences import sentences

LOOPS = 0.5
# Words of a sentence that two texts do not share by chance.
COPIED = 6
SENTENCE_END = re.compile(r"[.!?…][\"')\]]*(?=\s|\Z)|(?<=\S)(?=\s*\n)")
log = logging.getLogger(__name__)


def analyses_of(responses: Path) -> Mapping[str, str]:
    """What the analyst said, by question, down to the last whole sentence; it may be nothing.

    What only repeats itself is nothing: it would teach a model to loop. So is what copies a
    sentence from an example in the analyst's prompt: it is about another mistake.
    """
    shown = {
        sentence
        for example in tables.spec_of(responses)["method"].get("examples", ())
        for sentence in _long_sentences(example["answer"])
    }
    said, dropped = {}, Counter[str]()
    for row in tables.rows("responses", responses):
        if row["sample"] == 0:
            text = whole_sentences(row["text"], row["finish_reason"])
            if reason := _unfit(text, shown):
                dropped[reason] += 1
            said[row["prompt_id"]] = "" if reason else text
    counts = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
    log.info("%s: %d texts; dropped: %s", responses.stem, len(said), counts or "none")
    return said


def _unfit(text: str, shown: Iterable[tuple[str, ...]]) -> str:
    """Why a text teaches nothing; empty if it may."""
    if not text:
        return "without a whole sentence"
    if loops(text):
        return "repeat themselves"
    return "" if _long_sentences(text).isdisjoint(shown) else "copy an example"


def _long_sentences(text: str) -> set[tuple[str, ...]]:
    found = (tuple(words(sentence)) for sentence in sentences(text))
    return {sentence for sentence in found if len(sentence) >= COPIED}


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
