"""A rubric and a case as the text that a judge reads.

    python -m alignlab.judging.prompts judge/quality      # what a judge is told, with a toy case

The constant instructions stand first, then the case, then what is asked: so a local judge computes
the first once for a table, the second once for all aspects.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from alignlab.core.templates import fill
from alignlab.judging.cases import Case, Rubric
from alignlab.judging.rubrics import resolved_rubric


def instructions(rubric: Rubric) -> str:
    """What the judge is told once, with every aspect's meaning and levels."""
    listed = "\n".join(_described(aspect) for aspect in rubric["aspects"])
    return fill(rubric["instructions"], {"aspects": listed})


def case_text(rubric: Rubric, case: Case) -> str:
    """The case as the judge sees it."""
    return fill(rubric["case"], case.texts)


def question(rubric: Rubric, aspect: Mapping[str, Any]) -> str:
    """What a local judge is asked about one aspect."""
    scale = f"{', '.join(aspect['says'][:-1])} or {aspect['says'][-1]}"
    named = {"aspect": aspect["label"], "meaning": aspect["meaning"], "scale": scale}
    return fill(rubric["ask"], named)


def message(rubric: Rubric, case: Case, aspect: Mapping[str, Any]) -> str:
    """All that a local judge reads before it rates one aspect; only the end names the aspect."""
    parts = (instructions(rubric), case_text(rubric, case), question(rubric, aspect))
    return "\n\n".join(part.strip() for part in parts)


def _described(aspect: Mapping[str, Any]) -> str:
    levels = [f"  {say}: {text}" for say, text in aspect["levels"].items()]
    return "\n".join([f"- {aspect['label']}: {aspect['meaning']}", *levels])


if __name__ == "__main__":
    chosen = resolved_rubric(sys.argv[1])
    toy = {place: f"<{place}>" for place in ("query", "answer", "answer_a", "answer_b")}
    case = Case("toy/1", 0, 0, {**toy, "conversation": "", "reference": ""})
    asked = [question(chosen, aspect) for aspect in chosen["aspects"]]
    print(instructions(chosen), case_text(chosen, case), *asked, sep="\n")
