"""Run an arm over its prompts: prompts table in, responses table out, nothing lost on the way.

    snakemake --cores 2 --until generate_responses

Prompts go through in windows, so memory does not grow with their number. Every finished batch is
put aside at once, keyed by the arm's digest; a job that was killed asks only for the rest.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.compute as pc
import pyarrow.dataset as ds

from alignlab import tables
from alignlab.engines import attempts
from alignlab.engines.base import Answer, Question, Respondent
from alignlab.engines.respondent import LocalRespondent
from alignlab.errors import AlignlabError
from alignlab.experiment.decoding import Decoding
from alignlab.experiment.units import UNITS
from alignlab.lots import lot
from alignlab.progress import progress
from alignlab.prompting.build import build_prompter
from alignlab.tables import Row

log = logging.getLogger(__name__)
WINDOW = 512
ADVICE = {
    "prompt_too_long": "no room in its context window; use a shorter prompt or another model",
    attempts.API_ERROR: "the call failed; the log of generate_responses says how",
    attempts.NO_ROOM: "`max_usd` leaves no room for another call",
}
"""Why there is no answer → what a message says of it."""


@dataclass(frozen=True)
class Part:
    """Which share of an arm's prompts a job answers: the `index`-th of `count`."""

    index: int
    count: int

    def bounds(self, total: int) -> tuple[int, int]:
        """First and one-past-last row; parts are contiguous and differ by at most one row."""
        return self.index * total // self.count, (self.index + 1) * total // self.count


@dataclass
class Conversation:
    """One sample of one prompt, as its turns are answered."""

    prompt: Row
    sample: int
    answers: list[str] = field(default_factory=list)
    unanswered: str = ""
    """Why an earlier turn has no answer; then the later ones are not asked."""


def generate(
    spec: dict[str, Any],
    prompts: list[Path],
    model: Path | None,
    adapter: Path | None,
    embedder: Path | None,
    output: Path,
    *,
    part: Part,
    aside: Path,
    batch_size: int,
) -> None:
    """Answer one part of an arm's prompts.

    Args:
        spec: the arm's semantic slice: arm, model, method, decoding, engine, seed, digest; and
            `runtime` if its model is behind an endpoint (see `alignlab.engines.openai`).
        prompts: prompts tables, in order.
        model: folder of a materialised model; none if it is behind an endpoint.
        adapter: folder of the adapter, if the model is a tuned one.
        embedder: folder of the embedding model, for retrieval.
        output: responses table to write.
        part: the share of prompts this job answers.
        aside: folder where finished batches wait; shared by all parts of the arm.
        batch_size: prompts per forward pass.

    Raises:
        AlignlabError: a prompt is in two of the tables, the model cannot be loaded, or every call
            to its endpoint would fail.
    """
    _check_unique(prompts)
    module = import_module(UNITS[f"engine {spec['engine']['name']}"])
    respondent: Respondent
    if model is None:
        respondent = module.respondent(spec, embedder)
    else:
        engine = module.load(model, spec["engine"]["dtype"], batch_size, adapter)
        prompter = build_prompter(spec["method"], engine.tokenizer, embedder)
        respondent = LocalRespondent(engine, prompter, Decoding.model_validate(spec["decoding"]))
    job = Job(spec, respondent, aside)
    first, last = part.bounds(sum(tables.opened("prompts", p).metadata.num_rows for p in prompts))
    rows = islice((row for path in prompts for row in tables.rows("prompts", path)), first, last)
    with tables.writing("responses", output, spec) as writer, job.watched(last - first):
        while window := list(islice(rows, WINDOW)):
            writer.write(job.answer(window))
        job.report()
        if job.resumed:
            writer.note("resumed", True)


def gather(
    spec: dict[str, Any], parts: list[Path], output: Path, aside: Path, note: Path, attempt: int
) -> None:
    """Join the parts of an arm, in order, and drop what its jobs had put aside.

    Answers that an endpoint failed to give are counted in `note`, so that the next run asks again.

    Raises:
        AlignlabError: no question of the arm was answered; says why.
    """
    total, failed = 0, Counter[str]()
    made_with = tables.versions_of(parts[0])  # by an engine whose environment may be another
    with tables.writing("responses", output, spec, made_with) as writer:
        for path in parts:
            for batch in tables.opened("responses", path).iter_batches(batch_size=WINDOW):
                rows = batch.to_pylist()
                writer.write(rows)
                total += len(rows)
                failed.update(row["trimmed"] for row in rows if row["finish_reason"] == "error")
        if "runtime" in spec:
            mendable = (failed[attempts.API_ERROR], failed[attempts.NO_ROOM])
            attempts.write(note, attempt, *mendable, spec["runtime"]["max_usd"])
        if total and failed.total() == total:
            ((why, _),) = failed.most_common(1)
            raise AlignlabError(
                f"arm {spec['arm']}: {spec['model']} answered not one of {total} questions; most "
                f"often: {ADVICE.get(why, why)}"
            )
    shutil.rmtree(aside, ignore_errors=True)


class Job:
    """What stays the same over the windows of a job."""

    def __init__(self, spec: dict[str, Any], respondent: Respondent, aside: Path) -> None:
        self.spec, self.respondent, self.aside = spec, respondent, aside
        self.leftovers = [str(path) for path in aside.glob("[!.]*.parquet")]
        for path in self.leftovers:
            tables.read("responses", path)  # a damaged one is told, not used
        self.decoding = Decoding.model_validate(spec["decoding"])
        self.unanswered: dict[str, list[str]] = {}
        self.announced = self.resumed = False

    def watched(self, total: int) -> Any:
        """Show progress over `total` prompts."""
        self.bar = progress(total * self.decoding.samples, "answer")
        return self.bar

    def answer(self, window: list[Row]) -> list[Row]:
        """All turns and samples of a window of prompts, in the order of the prompts."""
        kept = self._put_aside_earlier([row["prompt_id"] for row in window])
        samples = range(self.decoding.samples)
        talks = [Conversation(prompt, sample) for prompt in window for sample in samples]
        rows: dict[tuple[str, int, int], Row] = {}
        for turn in range(max(len(prompt["turns"]) for prompt in window)):
            asked = [talk for talk in talks if turn < len(talk.prompt["turns"])]
            for row in self._answer_turn(asked, turn, kept):
                rows[row["prompt_id"], row["sample"], turn] = row
            for talk in asked:
                row = rows[talk.prompt["prompt_id"], talk.sample, turn]
                talk.answers.append(row["text"])
                talk.unanswered = row["trimmed"] if row["finish_reason"] == "error" else ""
        order = {row["prompt_id"]: at for at, row in enumerate(window)}
        return [rows[key] for key in sorted(rows, key=lambda key: (order[key[0]], *key[1:]))]

    def _answer_turn(
        self, talks: list[Conversation], turn: int, kept: dict[tuple[str, int, int], Row]
    ) -> Iterator[Row]:
        """One turn of some conversations; answers that were put aside are not asked for again."""
        left: list[Conversation] = []
        for talk in talks:
            if row := kept.get((talk.prompt["prompt_id"], talk.sample, turn)):
                self.bar.update(turn == 0)
                self.resumed = True
                yield row
            elif talk.unanswered:
                said = "the turn before has no answer"
                nothing = Answer("", "error", talk.unanswered, said)
                yield self._row(talk, turn, self._question(talk, turn), nothing)
            else:
                left.append(talk)
        questions = [self._question(talk, turn) for talk in left]
        for batch in self.respondent.answers(questions):
            rows = [self._row(left[at], turn, questions[at], answer) for at, answer in batch]
            made = [row for row in rows if row["finish_reason"] != "error"]
            if made and not self.respondent.remembers:
                tables.write("responses", self.aside / f"{uuid4().hex}.parquet", made, self.spec)
            self.bar.update(len(rows) if turn == 0 else 0)
            yield from rows

    def _question(self, talk: Conversation, turn: int) -> Question:
        seed = None
        if self.decoding.temperature:
            origin = (self.spec["seed"], self.spec["arm"], talk.prompt["prompt_id"], turn)
            seed = lot(*origin, talk.sample) >> 1  # the table's integers have a sign
        turns = talk.prompt["turns"][: turn + 1]
        question = Question(turns, tuple(talk.answers), talk.sample, seed)
        if not self.announced:
            text = self.respondent.shown(question)
            log.info("first prompt of arm %s:\n%s", self.spec["arm"], text)
            self.announced = True
        return question

    def _row(self, talk: Conversation, turn: int, question: Question, answer: Answer) -> Row:
        """A responses row; without an answer it says why."""
        text, trimmed = self.respondent.stopping.cut(answer.raw)
        if not answer.made:
            where = f"{talk.prompt['prompt_id']} turn {turn}: {answer.said}"
            self.unanswered.setdefault(answer.trimmed, []).append(where)
        return {
            "arm": self.spec["arm"],
            "model": self.spec["model"],
            "prompt_id": talk.prompt["prompt_id"],
            "turn": turn,
            "sample": talk.sample,
            "prompt_ids": answer.prompt_ids,
            "raw_text": answer.raw,
            "text": text,
            "token_ids": answer.token_ids,
            "finish_reason": answer.finish_reason,
            "trimmed": trimmed or answer.trimmed,
            "num_tokens": answer.num_tokens,
            "num_words": len(text.split()),
            "seed": question.seed,
        }

    def _put_aside_earlier(self, prompt_ids: list[str]) -> dict[tuple[str, int, int], Row]:
        """Rows that an earlier, interrupted job of this arm finished."""
        if not self.leftovers:
            return {}
        found = ds.dataset(self.leftovers).to_table(filter=pc.field("prompt_id").isin(prompt_ids))
        return {(r["prompt_id"], r["sample"], r["turn"]): r for r in found.to_pylist()}

    def report(self) -> None:
        """Say which questions have no answer; their rows say so too."""
        for why, places in self.unanswered.items():
            counted = (self.spec["arm"], len(places), self.spec["model"], why)
            shown = "; ".join(places[:5])
            log.warning("arm %s: %d questions without an answer of %s, %s: %s", *counted, shown)


def _check_unique(prompts: list[Path]) -> None:
    """A prompt asked twice would count twice, and its answers could not be told apart."""
    seen: set[str] = set()
    for path in prompts:
        ids = tables.opened("prompts", path).read(columns=["prompt_id"])["prompt_id"].to_pylist()
        if twice := sorted(seen.intersection(ids)):
            raise AlignlabError(f"{path}: prompt {twice[0]!r} is in two prompt sets")
        seen.update(ids)
