"""Answers, and judgements of them, that somebody else published, as tables of an experiment.

just-eval and AlpacaEval both publish a list of records with `instruction` and `output`; answers
are found by the text of the question, because their ids are not ours. just-eval's judgements are
records with `input`, `output_cand`, the judge's reply as `result` and, per aspect, its reason and
score as `parsed_result`; one belongs to the answer that has its question and its text.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from alignlab.core import tables
from alignlab.core.config import StrictModel
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.core.templates import ONLY_THOUGHTS, is_answer, spoken
from alignlab.metrics.words import count_words
from alignlab.planning.artefact import Spec
from alignlab.sources import files, records
from alignlab.sources.config import FileSource
from alignlab.sources.files import FetchJob, FilePlace, where
from alignlab.sources.records import Record

log = logging.getLogger(__name__)
COLUMNS = ("input", "output_cand", "result", "parsed_result")
NONE = "no judgement of this answer was published"
NO_ANSWER = "there is no answer: {}"
ANOTHER = "the judgement is of another answer to the question"


class PublishedSpec(Spec):
    """What published answers are.

    Attributes:
        arm: their name in the experiment.
        model: the model that answered.
        source: where the file comes from, if it is no local one.
        content: digest of a local file.
    """

    arm: str
    model: str
    source: FileSource | None = None
    content: str | None = None


class FetchPublishedJob(FetchJob):
    """What `fetch_published` is given.

    Attributes:
        prompts: tables of the questions whose answers are looked up.
        output: the responses table.
    """

    spec: PublishedSpec
    place: FilePlace = FilePlace()
    prompts: tuple[Path, ...]

    @model_validator(mode="after")
    def _lies_somewhere(self) -> FetchPublishedJob:
        where(self.place, self.spec.source)
        return self


def fetch_published(job: FetchPublishedJob) -> None:
    """Write the responses table of a published arm: one row per prompt, first turns only.

    A prompt without a published answer, or with a null one, gets a row with finish_reason `error`
    and trimmed `missing`, and is counted in the log. How a published answer ended and how many
    tokens it had is unknown.

    Raises:
        AlignlabError: the source is out of reach or has other columns, or no answer fits.
    """
    arm, source = job.spec.arm, where(job.place, job.spec.source)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            answers = _answers(files.data_file(source, Path(scratch)))
    except AlignlabError as error:
        raise AlignlabError(f"published {arm}: {error}") from error
    rows = [row for path in job.prompts for row in _responses(path, answers, job.spec)]
    missing = sum(row["trimmed"] == "missing" for row in rows)
    if missing == len(rows):
        raise AlignlabError(
            f"published {arm}: none of the {len(rows)} prompts has an answer among the "
            f"{len(answers)} published questions"
        )
    if missing:
        log.warning("%s: %d of %d prompts have no answer", arm, missing, len(rows))
    tables.write("responses", job.output, rows, job.metadata)


def _answers(path: Path) -> dict[str, list[str | None]]:
    """Published answers by normalised question, in the order of the file; null where one failed."""
    answers = defaultdict(list)
    for number, record in enumerate(records.read(path, ("instruction", "output"))):
        output, question = record["output"], record["instruction"]
        if isinstance(output, list) and len(output) == 1:
            output = output[0]
        if not isinstance(output, str | None) or not isinstance(question, str):
            raise AlignlabError(
                f"{path}: row {number}, counted from 0: `instruction` must be text, `output` text "
                "or null"
            )
        answers[records.normalised(question)].append(output)
    return dict(answers)


def _responses(path: Path, answers: dict[str, list[str | None]], spec: PublishedSpec) -> list[Row]:
    """Rows for one prompts table. The nth of several equal questions gets the nth answer."""
    asked: Counter[str] = Counter()
    rows = []
    for prompt in tables.rows("prompts", path):
        question = records.normalised(prompt["turns"][0])
        found = answers.get(question, [])
        # Asked more often than published: the question has one more answer than none.
        raw = found[min(asked[question], len(found) - 1)] if found else None
        asked[question] += 1
        rows.append(_response(prompt["prompt_id"], raw, spec))
    return rows


def _response(prompt_id: str, raw: str | None, spec: PublishedSpec) -> Row:
    said = spoken(raw or "")
    text = said.answer.strip()
    cut = ONLY_THOUGHTS if said.only_thoughts else "" if said.thoughts is None else "thoughts"
    return {
        "arm": spec.arm,
        "model": spec.model,
        "prompt_id": prompt_id,
        "turn": 0,
        "sample": 0,
        "prompt_ids": [],
        "raw_text": raw or "",
        "text": text,
        "thoughts": said.thoughts,
        "token_ids": [],
        "finish_reason": "error" if raw is None else "unknown",
        "trimmed": cut if cut or text else ("missing" if raw is None else "empty"),
        "num_tokens": None,
        "num_words": count_words(text),
        "seed": None,
    }


class JudgedAspect(BaseModel):
    """What counts here of an aspect that a rubric rates: its scale, worst word first."""

    model_config = ConfigDict(frozen=True)
    name: str
    says: tuple[str, ...]
    values: tuple[float, ...]


class JudgedRubric(BaseModel):
    """What counts here of a rubric; its texts are for judges.

    Attributes:
        category: the prompts that it applies to; all for none.
        aspects: their names are those that the files use.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    category: Literal["regular", "safety"] | None
    aspects: tuple[JudgedAspect, ...]


class PublishedJudgementsSpec(Spec):
    """What published judgements are.

    Attributes:
        judge: their name in the experiment.
        arm: whose answers they judge.
        rubrics: by which they judge.
        content: of each file where it comes from, or the digest of a local one.
    """

    judge: str
    arm: str
    rubrics: tuple[JudgedRubric, ...]
    content: tuple[dict[str, Any], ...]


class JudgementsPlace(StrictModel):
    """Where the files lie."""

    sources: tuple[FileSource, ...]


class FetchJudgementsJob(FetchJob):
    """What `fetch_judgements` is given.

    Attributes:
        responses: the arm's table.
        prompts: prompts tables; answers to other prompts are left out.
        output: the judgements table.
    """

    spec: PublishedJudgementsSpec
    place: JudgementsPlace
    responses: Path
    prompts: tuple[Path, ...]


def fetch_judgements(job: FetchJudgementsJob) -> None:
    """Write the judgements of a published arm's answers, in the order of the responses.

    A score that is no word of the scale, such as N/A, is `unparseable`, and so is every aspect of
    a reply that was not parsed. (just-eval's own means count N/A as 5.) An answer without a
    judgement is `skipped`. Of equal questions with equal answers the nth gets the nth judgement.

    Raises:
        AlignlabError: a source is out of reach or has other columns, no answer is judged, or most
            judgements of these questions are of other answers.
    """
    who = f"judgements by {job.spec.judge} of {job.spec.arm}"
    try:
        found = [record for source in job.place.sources for record in _records(source)]
    except AlignlabError as error:
        raise AlignlabError(f"{who}: {error}") from error
    known = {row["prompt_id"]: row for path in job.prompts for row in tables.rows("prompts", path)}
    answers = [row for row in tables.rows("responses", job.responses) if row["prompt_id"] in known]
    judged = [Judged(rubric, found) for rubric in job.spec.rubrics]
    rows = [
        row
        for answer in answers
        for prompt in [known[answer["prompt_id"]]]
        for rubric in judged
        if rubric.category in (None, prompt["category"])
        for row in rubric.rows(answer, prompt["turns"][answer["turn"]], job.spec)
    ]
    _check(rows, len(found), who)
    tables.write("judgements", job.output, rows, job.metadata)


class Judged:
    """The records that judge by the aspects of one rubric, found by question and answer.

    A published answer may hold thoughts, which a responses table keeps apart; thoughts alone are no
    answer.
    """

    def __init__(self, rubric: JudgedRubric, found: Sequence[Record]) -> None:
        self.name, self.category = rubric.name, rubric.category
        self._says = {aspect.name: _values(aspect) for aspect in rubric.aspects}
        self._records: dict[tuple[str, str], list[Record]] = defaultdict(list)
        self._asked: Counter[tuple[str, str]] = Counter()
        self._questions: set[str] = set()
        for record in found:
            # What a reply that was not parsed is about, only its question says.
            if record["parsed_result"] is None or self._says.keys() & record["parsed_result"]:
                question, said = records.normalised(record["input"]), spoken(record["output_cand"])
                self._questions.add(question)
                if not said.only_thoughts:
                    self._records[question, records.normalised(said.answer)].append(record)

    def rows(self, answer: Row, question: str, spec: PublishedJudgementsSpec) -> Iterator[Row]:
        """A row for every aspect of an answer to a question."""
        key = records.normalised(question), records.normalised(answer["text"])
        fitting = self._records.get(key) if is_answer(answer) else None
        for aspect, values in self._says.items():
            row = _row(answer, aspect, self.name, spec)
            if fitting:
                # An answer may stand for more of our prompts than were judged.
                record = fitting[min(self._asked[key], len(fitting) - 1)]
                yield row | _said(record, aspect, values)
            else:
                yield row | {"raw": self._lacking(answer, key[0])}
        self._asked[key] += is_answer(answer)

    def _lacking(self, answer: Row, question: str) -> str:
        """Why an answer has no judgement."""
        if not is_answer(answer):
            return NO_ANSWER.format(answer["trimmed"])
        return ANOTHER if question in self._questions else NONE


def _records(source: FileSource) -> list[Record]:
    """The records of one file that are about an answer."""
    with tempfile.TemporaryDirectory() as scratch:
        path = files.data_file(source, Path(scratch))
        found = records.read(path, COLUMNS)
    for number, record in enumerate(found):
        texts = all(isinstance(record[name], str | None) for name in ("output_cand", "result"))
        parsed = isinstance(record["parsed_result"], dict | None)
        if not (texts and parsed and isinstance(record["input"], str)):
            raise AlignlabError(
                f"{path}: row {number}, counted from 0: `input` must be text, `output_cand` and "
                "`result` text or null, `parsed_result` an object or null"
            )
    return [record for record in found if record["output_cand"] is not None]


def _said(record: Record, aspect: str, values: Mapping[str, float]) -> Row:
    """What a record says of an aspect, as columns of the table."""
    said = (record["parsed_result"] or {}).get(aspect)
    score = reason = None
    if isinstance(said, dict):
        given, reason = said.get("score"), said.get("reason")
        word = f"{given:g}" if isinstance(given, float) else str(given).strip()
        score = values.get(word)
    return {
        "status": "unparseable" if score is None else "scored",
        "score": score,
        "reason": reason if isinstance(reason, str) else None,
        "raw": record["result"],
    }


def _row(answer: Row, aspect: str, rubric: str, spec: PublishedJudgementsSpec) -> Row:
    return {
        "judge": spec.judge,
        **{name: answer[name] for name in ("arm", "prompt_id", "turn", "sample")},
        "rubric": rubric,
        "aspect": aspect,
        "status": "skipped",
        "score": None,
        "distribution": None,
        "mass": None,
        "reason": None,
        "raw": None,
        "repaired": False,
        "cost_usd": None,
        "seconds": None,
    }


def _check(rows: Sequence[Row], published: int, who: str) -> None:
    """Refuse judgements that fit no answer, or mostly other answers; count what has no score."""
    judged = sum(row["status"] != "skipped" for row in rows)
    others = [row["prompt_id"] for row in rows if row["raw"] == ANOTHER]
    if len(others) > judged:
        raise AlignlabError(
            f"{who}: judgements for responses that no longer exist: {len(others)} rows, the first "
            f"of {others[0]}, are about another answer than the responses table has, and {judged} "
            "about the same"
        )
    if not judged:
        raise AlignlabError(f"{who}: no answer is among the {published} published judgements")
    failed = Counter(row["raw"] if row["status"] == "skipped" else row["status"] for row in rows)
    del failed["scored"]
    for why, count in failed.items():
        log.warning("%s: %d of %d rows have no score: %s", who, count, len(rows), why)


def _values(aspect: JudgedAspect) -> dict[str, float]:
    return dict(zip(aspect.says, aspect.values, strict=True))
