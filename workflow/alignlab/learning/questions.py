"""Asks an analyst what is wrong with an answer, or for a better one, and reads its reply.

Learning from Mistakes, step 2, and the critique and revision of Constitutional AI (arXiv
2212.08073 §3.1). Questions are a prompts table, so `generate` answers them like any other. A reply
is kept as far as it can be learnt from: its own words, whole sentences, no loops.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import model_validator

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.core.templates import fill
from alignlab.metrics.words import repetition, sentences, words
from alignlab.planning.artefact import Job, Spec

LOOPS = 0.5
# Words of a sentence that two texts do not share by chance.
COPIED = 6
SENTENCE_END = re.compile(r"[.!?…][\"')\]]*(?=\s|\Z)|(?<=\S)(?=\s*\n)")
log = logging.getLogger(__name__)


class QuestionsSpec(Spec):
    """What an analyst is asked.

    Attributes:
        analysis: its name.
        text: with {instruction}, {response} and, in a revision, {analysis}.
    """

    analysis: str
    text: str


class AskJob(Job):
    """What `ask_analyst` is given: mistakes, or an arm's answers.

    Attributes:
        mistakes: the table of mistakes.
        responses: of mistakes the analyses that a revision follows, if it is one; else the answers
            of an arm.
        prompts: tables with the prompts of an arm whose answers are asked about.
        output: the prompts table of the questions.
    """

    spec: QuestionsSpec
    mistakes: Path | None = None
    responses: Path | None = None
    prompts: tuple[Path, ...] = ()

    @model_validator(mode="after")
    def _about_something(self) -> AskJob:
        if self.mistakes is None and self.responses is None:
            raise ValueError("neither `mistakes` nor `responses` is given: nothing to ask about")
        return self


def ask_analyst(job: AskJob) -> None:
    """Write the prompts table of questions about mistakes, or about all answers, good or bad.

    A question's id is its mistake's, or `<prompt_id>#<sample>`. Mistakes whose critique is empty
    are left out; so are empty answers, for there is nothing to judge, and those to other prompts.

    Raises:
        AlignlabError: nothing is left to ask about.
    """
    if job.mistakes:
        what, rows = "critique it should follow", list(_about_mistakes(job, job.mistakes))
    else:
        assert job.responses is not None
        what, rows = "answer to analyse", list(_about_answers(job, job.responses))
    if not rows:
        raise AlignlabError(f"analysis {job.spec.analysis}: every {what} is empty")
    tables.write("prompts", job.output, rows, job.spec.signed)


def _about_mistakes(job: AskJob, mistakes: Path) -> Iterator[Row]:
    said = analyses_of(job.responses) if job.responses else None
    for row in tables.rows("mistakes", mistakes):
        analysis = said.get(row["mistake_id"], "") if said is not None else None
        if analysis != "":
            question = _question(job.spec.text, row["instruction"], row["response"], analysis)
            yield _row(job.spec.analysis, row["mistake_id"], "safety", question)


def _about_answers(job: AskJob, responses: Path) -> Iterator[Row]:
    """About an arm's first-turn answers."""
    asked = {row["prompt_id"]: row for path in job.prompts for row in tables.rows("prompts", path)}
    for row in tables.rows("responses", responses):
        if row["turn"] == 0 and row["text"] and row["prompt_id"] in asked:
            prompt = asked[row["prompt_id"]]
            question = _question(job.spec.text, prompt["turns"][0], row["text"], None)
            question_id = f"{row['prompt_id']}#{row['sample']}"
            yield _row(job.spec.analysis, question_id, prompt["category"], question)


def _question(text: str, instruction: str, response: str, analysis: str | None) -> str:
    values = {"instruction": instruction, "response": response}
    return fill(text, values if analysis is None else {**values, "analysis": analysis})


def _row(analysis: str, question_id: str, category: str, question: str) -> Row:
    return {
        "prompt_id": question_id,
        "dataset": analysis,
        "category": category,
        "source": analysis,
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
