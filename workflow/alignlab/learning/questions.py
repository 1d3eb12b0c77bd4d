"""Asks an analyst about answers, what is wrong with one or for a better one; reads what it said.

    snakemake --cores 2 --until ask_analyst

Learning from Mistakes, step 2, and the critique and revision of Constitutional AI (arXiv
2212.08073 §3.1). Questions are a prompts table, so `generate` answers them like any other. What
the analyst said counts as far as it can be learnt from: its own words, whole sentences, no loops.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.core.templates import fill
from alignlab.metrics.words import repetition, sentences, words

LOOPS = 0.5
# Words of a sentence that two texts do not share by chance.
COPIED = 6
SENTENCE_END = re.compile(r"[.!?…][\"')\]]*(?=\s|\Z)|(?<=\S)(?=\s*\n)")
log = logging.getLogger(__name__)


def ask_about_mistakes(
    spec: dict[str, Any], mistakes: Path, critiques: Path | None, output: Path
) -> None:
    """Write the prompts table of questions about mistakes; a question's id is its mistake's.

    Args:
        spec: `analysis` (its name), `text` (with {instruction}, {response} and, in a revision,
            {analysis}), `digest`.
        mistakes: the table of mistakes.
        critiques: analyses that a revision follows; mistakes whose analysis is empty are left out.
        output: the table.

    Raises:
        AlignlabError: every critique is empty.
    """
    said = analyses_of(critiques) if critiques else None
    rows = []
    for row in tables.rows("mistakes", mistakes):
        analysis = said.get(row["mistake_id"], "") if said is not None else None
        if analysis != "":
            question = _question(spec["text"], row["instruction"], row["response"], analysis)
            rows.append(_row(spec, row["mistake_id"], "safety", question))
    if not rows:
        raise AlignlabError(
            f"analysis {spec['analysis']}: every critique it should follow is empty"
        )
    tables.write("prompts", output, rows, spec)


def ask_about_answers(
    spec: dict[str, Any], responses: Path, prompts: Sequence[Path], output: Path
) -> None:
    """Write the prompts table of questions about an arm's first-turn answers, good and bad alike.

    A question's id is `<prompt_id>#<sample>`. Only answers to `prompts` are asked about; empty ones
    are left out, for there is nothing to judge.

    Raises:
        AlignlabError: every answer is empty.
    """
    asked = {row["prompt_id"]: row for path in prompts for row in tables.rows("prompts", path)}
    rows = [
        _row(spec, f"{row['prompt_id']}#{row['sample']}", prompt["category"], question)
        for row in tables.rows("responses", responses)
        if row["turn"] == 0 and row["text"] and row["prompt_id"] in asked
        for prompt in [asked[row["prompt_id"]]]
        for question in [_question(spec["text"], prompt["turns"][0], row["text"], None)]
    ]
    if not rows:
        raise AlignlabError(f"analysis {spec['analysis']}: every answer to analyse is empty")
    tables.write("prompts", output, rows, spec)


def _question(text: str, instruction: str, response: str, analysis: str | None) -> str:
    values = {"instruction": instruction, "response": response}
    return fill(text, values if analysis is None else {**values, "analysis": analysis})


def _row(spec: dict[str, Any], question_id: str, category: str, question: str) -> Row:
    return {
        "prompt_id": question_id,
        "dataset": spec["analysis"],
        "category": category,
        "source": spec["analysis"],
        "turns": [question],
        "tags": [],
        "reference": None,
        "mistake": None,
        "target": None,
    }


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
