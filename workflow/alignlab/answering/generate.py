"""Runs an arm over its prompts: a prompts table in, a responses table out.

Prompts go through in windows, so memory does not grow with their number. Every finished batch is
saved at once, under the arm's digest; the rerun of a killed job generates only the rest.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.stable_random import lot
from alignlab.core.tables import Row
from alignlab.core.templates import ONLY_THOUGHTS, is_answer, spoken
from alignlab.core.unfinished import Unfinished, forget, progress
from alignlab.endpoints import replies
from alignlab.endpoints.config import ApiEngineConfig, EndpointPlace
from alignlab.engines.base import (
    Answer,
    Completion,
    Engine,
    Markup,
    Question,
    Request,
    Respondent,
)
from alignlab.engines.config import DecodingConfig, EngineConfig, engine_unit
from alignlab.metrics.words import count_words
from alignlab.planning.artefact import Job, Spec
from alignlab.prompting.build import build_prompter
from alignlab.prompting.encode import Prompter, encoder, shared_prefix

log = logging.getLogger(__name__)
WINDOW = 512
ADVICE = {
    "prompt_too_long": "no room in its context window; use a shorter prompt or another model",
    replies.API_ERROR: "the call failed; the log of generate_responses says how",
    replies.NO_ROOM: "`max_usd` leaves no room for another call",
    ONLY_THOUGHTS: "it ended in its thoughts; raise `max_new_tokens`",
}
"""Why there is no answer → what a message says of it."""


class ResponsesSpec(Spec):
    """What a responses table is made of: a model, a method, and how answers are decoded."""

    arm: str
    model: str
    method: dict[str, Any]
    decoding: DecodingConfig
    engine: EngineConfig | ApiEngineConfig
    seed: int | None = None


class ResponsesJob(Job):
    """What every job on the answers of an arm is given.

    Attributes:
        prompts: prompts tables, in order.
        model: folder of a materialised model; none if it is behind an endpoint.
        adapter: folder of the adapter, if the model is a tuned one.
        embedder: folder of the embedding model, for retrieval.
        attempt: at what an endpoint failed to answer; 1 for others.
        place: how the endpoint is asked, if the model is behind one.
    """

    spec: ResponsesSpec
    place: EndpointPlace = EndpointPlace()
    aside: Path
    prompts: tuple[Path, ...] = ()
    model: Path | None = None
    adapter: Path | None = None
    embedder: Path | None = None
    attempt: int = 1


@dataclass(frozen=True)
class Part:
    """Which share of an arm's prompts a job answers: the `index`-th of `count`."""

    index: int
    count: int

    def bounds(self, total: int) -> tuple[int, int]:
        """First and one-past-last row; parts are contiguous and differ by at most one row."""
        return self.index * total // self.count, (self.index + 1) * total // self.count


class GenerateJob(ResponsesJob):
    """What `generate` is given.

    Attributes:
        part: the share of prompts that it answers.
        batch_size: prompts per forward pass.
        output: responses table of this part.
    """

    replies: Path
    part: Part
    batch_size: int


class GatherJob(ResponsesJob):
    """What `gather` is given.

    Attributes:
        parts: responses tables of all parts, in order.
        output: responses table of the arm.
    """

    note: Path
    parts: tuple[Path, ...]


@dataclass
class Conversation:
    """One sample of one prompt, as its turns are answered."""

    prompt: Row
    sample: int
    answers: list[str] = field(default_factory=list)
    unanswered: str = ""
    """Why an earlier turn has no answer; then the later ones are not asked."""


def generate(job: GenerateJob) -> None:
    """Answer one part of an arm's prompts.

    Raises:
        AlignlabError: a prompt is in two of the tables, the model cannot be loaded, or every call
            to its endpoint would fail.
    """
    _check_unique(job.prompts)
    respondent = _respondent(job)
    answering = Answering(job.spec, respondent, job.aside)
    number = sum(tables.opened("prompts", path).metadata.num_rows for path in job.prompts)
    first, last = job.part.bounds(number)
    every = (row for path in job.prompts for row in tables.rows("prompts", path))
    rows, spec = islice(every, first, last), job.spec.signed
    with (
        tables.writing("responses", job.output, spec) as writer,
        answering.watched(last - first),
    ):
        while window := list(islice(rows, WINDOW)):
            writer.write(answering.answer(window))
        answering.report()
        answering.unfinished.note(writer)
        writer.note("plain", respondent.plain)


def _respondent(job: GenerateJob) -> Respondent:
    """What answers; its code is imported by name, so that it counts for its own arms alone."""
    spec, engine = job.spec, job.spec.engine
    module = import_module(engine_unit(engine.name).module)
    if isinstance(engine, ApiEngineConfig):
        wording = module.Wording(spec.method, spec.decoding, engine.form, job.embedder)
        return module.respondent(wording, engine, job.place.runtime, job.replies)
    loaded = module.load(job.model, engine.dtype, job.batch_size, job.adapter)
    prompter = build_prompter(spec.method, loaded.tokenizer, job.embedder)
    return LocalRespondent(loaded, prompter, spec.decoding)


def gather(job: GatherJob) -> None:
    """Join the parts of an arm, in order, and drop what its jobs had saved.

    Answers that an endpoint failed to give are counted in a note, so that the next run asks again.

    Raises:
        AlignlabError: no question of the arm was answered; says why.
    """
    total, failed = 0, Counter[str]()
    made_with = tables.versions_of(job.parts[0])  # by an engine whose environment may be another
    with tables.writing("responses", job.output, job.spec.signed, made_with) as writer:
        for path in job.parts:
            for batch in tables.opened("responses", path).iter_batches(batch_size=WINDOW):
                rows = batch.to_pylist()
                writer.write(rows)
                total += len(rows)
                failed.update(row["trimmed"] for row in rows if not is_answer(row))
        writer.note("plain", next(filter(None, map(tables.plain_of, job.parts)), ""))
        if runtime := job.place.runtime:
            mendable = (failed[replies.API_ERROR], failed[replies.NO_ROOM])
            replies.write(job.note, job.attempt, *mendable, runtime.max_usd)
        if total and failed.total() == total:
            ((why, _),) = failed.most_common(1)
            raise AlignlabError(
                f"arm {job.spec.arm}: {job.spec.model} answered none of {total} questions; most "
                f"often: {ADVICE.get(why, why)}"
            )
    forget(job.aside)


class Answering:
    """What stays the same over the windows of a job."""

    def __init__(self, spec: ResponsesSpec, respondent: Respondent, aside: Path) -> None:
        self.spec, self.respondent = spec, respondent
        self.unfinished = Unfinished("responses", spec.signed, aside)
        self.decoding = spec.decoding
        self.unanswered: dict[str, list[str]] = {}
        self.announced = False

    def watched(self, total: int) -> Any:
        """Show progress over `total` prompts."""
        self.bar = progress(total * self.decoding.samples, "answer")
        return self.bar

    def answer(self, window: list[Row]) -> list[Row]:
        """All turns and samples of a window of prompts, in the order of the prompts."""
        left = self.unfinished.earlier([row["prompt_id"] for row in window])
        kept = {(row["prompt_id"], row["sample"], row["turn"]): row for row in left}
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
                talk.unanswered = "" if is_answer(row) else row["trimmed"]
        order = {row["prompt_id"]: at for at, row in enumerate(window)}
        return [rows[key] for key in sorted(rows, key=lambda key: (order[key[0]], *key[1:]))]

    def _answer_turn(
        self, talks: list[Conversation], turn: int, kept: dict[tuple[str, int, int], Row]
    ) -> Iterator[Row]:
        """One turn of some conversations; saved answers are not asked for again."""
        left: list[Conversation] = []
        for talk in talks:
            if row := kept.get((talk.prompt["prompt_id"], talk.sample, turn)):
                self.bar.update(turn == 0)
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
            if not self.respondent.remembers:
                self.unfinished.put_aside(made)
            self.bar.update(len(rows) if turn == 0 else 0)
            yield from rows

    def _question(self, talk: Conversation, turn: int) -> Question:
        seed = None
        if self.decoding.temperature:
            assert self.spec.seed is not None
            origin = (self.spec.seed, self.spec.arm, talk.prompt["prompt_id"], turn)
            seed = lot(*origin, talk.sample) >> 1  # the table's integers have a sign
        turns = talk.prompt["turns"][: turn + 1]
        question = Question(turns, tuple(talk.answers), talk.sample, seed)
        if not self.announced:
            text = self.respondent.shown(question)
            log.info("first prompt of arm %s:\n%s", self.spec.arm, text)
            self.announced = True
        return question

    def _row(self, talk: Conversation, turn: int, question: Question, answer: Answer) -> Row:
        """A responses row; without an answer it says why."""
        said = answer.spoken or spoken(answer.raw)
        text, trimmed = self.respondent.stopping.cut(said.answer)
        if said.only_thoughts:
            trimmed = ONLY_THOUGHTS
        elif said.answer != answer.raw:
            trimmed = trimmed or answer.trimmed or "thoughts"
        if not answer.made:
            where = f"{talk.prompt['prompt_id']} turn {turn}: {answer.said}"
            self.unanswered.setdefault(answer.trimmed, []).append(where)
        return {
            "arm": self.spec.arm,
            "model": self.spec.model,
            "prompt_id": talk.prompt["prompt_id"],
            "turn": turn,
            "sample": talk.sample,
            "prompt_ids": answer.prompt_ids,
            "raw_text": answer.raw,
            "text": text,
            "thoughts": said.thoughts,
            "token_ids": answer.token_ids,
            "finish_reason": answer.finish_reason,
            "trimmed": trimmed or answer.trimmed,
            "num_tokens": answer.num_tokens,
            "num_words": count_words(text),
            "seed": question.seed,
        }

    def report(self) -> None:
        """Say which questions have no answer; their rows say so too."""
        for why, places in self.unanswered.items():
            counted = (self.spec.arm, len(places), self.spec.model, why)
            shown = "; ".join(places[:5])
            log.warning("arm %s: %d questions without an answer of %s, %s: %s", *counted, shown)


def _check_unique(prompts: Sequence[Path]) -> None:
    """A prompt asked twice would count twice, and its answers could not be distinguished."""
    seen: set[str] = set()
    for path in prompts:
        ids = tables.opened("prompts", path).read(columns=["prompt_id"])["prompt_id"].to_pylist()
        if twice := sorted(seen.intersection(ids)):
            raise AlignlabError(f"{path}: prompt {twice[0]!r} is in two prompt sets")
        seen.update(ids)


class LocalRespondent:
    """A model that is loaded here, under a prompting method; see `engines.base.Respondent`."""

    remembers = False

    def __init__(self, engine: Engine, prompter: Prompter, decoding: DecodingConfig) -> None:
        self.engine, self.prompter, self.decoding = engine, prompter, decoding
        self.stopping, self.plain = prompter.stopping, engine.plain
        self.encode = encoder(engine.tokenizer, prompter)
        self.markup = Markup(engine.tokenizer)
        self.prefix = shared_prefix(prompter, self.encode)

    def shown(self, question: Question) -> str:
        """The rendered prompt."""
        return self.prompter.render(question.turns, question.answers)

    def answers(self, questions: Iterable[Question]) -> Iterator[list[tuple[int, Answer]]]:
        """Answer questions; those that do not fit the context window come first."""
        fitting: list[tuple[int, Request]] = []
        too_long: list[tuple[int, Answer]] = []
        for index, question in enumerate(questions):
            request = Request(self.encode(self.shown(question)), question.seed)
            if len(request.prompt_ids) >= self.engine.context_window:
                too_long.append((index, self._too_long(request)))
            else:
                fitting.append((index, request))
        if too_long:
            yield too_long
        requests = [request for _, request in fitting]
        batches = self.engine.generate(requests, self.prefix, self.decoding, self.stopping)
        for batch in batches:
            yield [(fitting[at][0], self._answer(requests[at], done)) for at, done in batch]

    def _answer(self, request: Request, done: Completion) -> Answer:
        return Answer(
            raw=self.engine.tokenizer.decode(done.token_ids, skip_special_tokens=True),
            finish_reason=done.finish_reason,
            prompt_ids=request.prompt_ids,
            token_ids=done.token_ids,
            num_tokens=len(done.token_ids),
            spoken=self.markup.spoken(done.token_ids, request.prompt_ids),
        )

    def _too_long(self, request: Request) -> Answer:
        window = self.engine.context_window
        return Answer(
            raw="",
            finish_reason="error",
            trimmed="prompt_too_long",
            said=f"{len(request.prompt_ids)} tokens do not fit a window of {window}",
            prompt_ids=request.prompt_ids,
        )
