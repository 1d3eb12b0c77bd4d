"""Answers that somebody else generated, as a responses table for the prompts of an experiment.

    snakemake --cores 2 --until fetch_published    # an experiment with `published` arms

just-eval and AlpacaEval both publish a list of records with `instruction` and `output`; answers
are found by the text of the question, because their ids are not ours.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from pydantic import model_validator

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.planning.job import Spec
from alignlab.sources import files, records
from alignlab.sources.config import FileSource
from alignlab.sources.jobs import FetchJob, FilePlace, where

log = logging.getLogger(__name__)


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

    A prompt without a published answer gets a row with finish_reason `error` and trimmed `missing`,
    and is counted in the log. How a published answer ended and how many tokens it had is unknown.

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
            f"published {arm}: none of the {len(rows)} prompts is among the "
            f"{len(answers)} published questions"
        )
    if missing:
        log.warning("%s: %d of %d prompts have no answer", arm, missing, len(rows))
    tables.write("responses", job.output, rows, job.metadata)


def _answers(path: Path) -> dict[str, list[str]]:
    """Published answers by normalised question, in the order of the file."""
    found = records.read(path)
    records.require_columns(found, ("instruction", "output"), path)
    answers = defaultdict(list)
    for number, record in enumerate(found):
        output = record.get("output")
        if isinstance(output, list) and len(output) == 1:
            output = output[0]
        if not isinstance(output, str) or not isinstance(record.get("instruction"), str):
            raise AlignlabError(
                f"{path}: row {number}, counted from 0: `instruction` and `output` must be texts"
            )
        answers[records.normalised(record["instruction"])].append(output)
    return dict(answers)


def _responses(path: Path, answers: dict[str, list[str]], spec: PublishedSpec) -> list[Row]:
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
    text = (raw or "").strip()
    return {
        "arm": spec.arm,
        "model": spec.model,
        "prompt_id": prompt_id,
        "turn": 0,
        "sample": 0,
        "prompt_ids": [],
        "raw_text": raw or "",
        "text": text,
        "token_ids": [],
        "finish_reason": "error" if raw is None else "unknown",
        "trimmed": "" if text else ("missing" if raw is None else "empty"),
        "num_tokens": None,
        "num_words": len(text.split()),
        "seed": None,
    }
