"""Asks an analyst about answers: what is wrong with one, or for a better one.

    snakemake --cores 2 --until ask_analyst

Learning from Mistakes, step 2, and the critique and revision of Constitutional AI (arXiv
2212.08073 §3.1). Questions are a prompts table, so `generate` answers them like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.core.templates import fill
from alignlab.learning.analyses import analyses_of


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
