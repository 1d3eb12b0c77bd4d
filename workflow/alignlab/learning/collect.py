"""Bad answers with their questions, induced from a model or taken from a dataset.

Learning from Mistakes, step 1 (arXiv 2310.10477 §4). What is no mistake is dropped, and counted by
reason: an induced answer that is empty, repeats the question, its cue, itself or an earlier
answer, declines, or says nothing that the attack wanted.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.core.templates import is_answer
from alignlab.learning.questions import loops
from alignlab.metrics.refusal import hijacked, is_refusal
from alignlab.metrics.words import echo
from alignlab.planning.artefact import Job, Spec

ECHOES = 0.8
# Stricter than metric `refusal`: whoever cannot, does not know or will not has made no mistake, and
# a guided analyst would be asked what is wrong with it.
DECLINES = re.compile(
    r"\W*(?:sorry|no|I(?:['’]m| am) (?:not|sorry|unable)"
    r"|I (?:ca|could|do|did|wo|would|should)n['’]t"
    r"|I (?:can|could|do|did|will|would|should) ?not)\b",
    re.IGNORECASE,
)
log = logging.getLogger(__name__)


class MistakesSpec(Spec):
    """What mistakes are: their name, and the cue words that led into them, if any did."""

    mistakes: str
    cue: str | None = None


class CollectJob(Job):
    """What `collect` is given.

    Attributes:
        prompts: tables of the questions.
        responses: what the model that was led astray answered; absent, rows bring their mistakes.
        output: the table `mistakes`.
    """

    spec: MistakesSpec
    prompts: tuple[Path, ...]
    responses: Path | None = None


def collect(job: CollectJob) -> None:
    """Write the table `mistakes`; its metadata counts what was dropped, and why.

    Raises:
        AlignlabError: no mistake is left; the message counts the reasons.
    """
    cue, induced = job.spec.cue, job.responses is not None
    asked = {row["prompt_id"]: row for path in job.prompts for row in tables.rows("prompts", path)}
    found = _induced(asked, job.responses) if job.responses else _own(asked)
    kept, dropped, seen = [], Counter[str](), set[str]()
    for prompt, sample, answer in found:
        if answer is None:
            dropped["not answered" if induced else "no known mistake"] += 1
            continue
        reason = flaw(prompt, answer, cue, seen) if induced else ""
        seen.add(answer)
        if reason:
            dropped[reason] += 1
        else:
            kept.append(_row(prompt, sample, answer, cue, induced))
    counts = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
    log.info("%s: %d mistakes; dropped: %s", job.spec.mistakes, len(kept), counts or "none")
    if not kept:
        raise AlignlabError(f"mistakes {job.spec.mistakes}: none is left; dropped: {counts}")
    with tables.writing("mistakes", job.output, job.spec.signed) as writer:
        writer.write(kept)
        writer.note("counts", {"mistakes": len(kept), **dropped})


def flaw(prompt: Row, answer: str, cue: str | None, seen: Container[str]) -> str:
    """Why an induced answer is no mistake to learn from; empty if it is one."""
    if not answer:
        return "empty"
    if _echoes(prompt["turns"][0], answer):
        return "repeats the question"
    if cue and _echoes(cue, answer):
        return "repeats its cue"
    if prompt["target"] is not None:
        return "" if hijacked(prompt["target"], answer) else "resists the attack"
    if is_refusal(answer) or DECLINES.match(answer):
        return "declines"
    if loops(answer):
        return "repeats itself"
    return "repeats an earlier answer" if answer in seen else ""


def _echoes(text: str, answer: str) -> bool:
    return (echo(text, answer) or 0) >= ECHOES


def _induced(asked: dict[str, Row], responses: Path) -> Iterator[tuple[Row, int, str | None]]:
    """First-turn answers; null where a question was not answered."""
    for row in tables.rows("responses", responses):
        if row["turn"] == 0:
            text = row["text"] if is_answer(row) else None
            yield asked[row["prompt_id"]], row["sample"], text


def _own(asked: dict[str, Row]) -> Iterator[tuple[Row, int, str | None]]:
    for prompt in asked.values():
        yield prompt, 0, prompt["mistake"] or None


def _row(prompt: Row, sample: int, answer: str, cue: str | None, induced: bool) -> Row:
    return {
        "mistake_id": f"{prompt['prompt_id']}#{sample}",
        "prompt_id": prompt["prompt_id"],
        "instruction": prompt["turns"][0],
        "response": answer,
        "source": "induced" if induced else "dataset",
        "cue": cue,
        "good": prompt["reference"],
        "target": prompt["target"],
    }
