"""Run an arm over its prompts: prompts table in, responses table out, nothing lost on the way.

    snakemake --cores 2 --until generate_responses

Prompts go through in windows, so memory does not grow with their number. Every finished batch is
put aside at once, keyed by the arm's digest; a job that was killed asks only for the rest.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
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
from alignlab.engines.base import Completion, Engine, Request
from alignlab.errors import AlignlabError
from alignlab.experiment.decoding import Decoding
from alignlab.progress import progress
from alignlab.prompting.build import build_prompter
from alignlab.prompting.encode import Prompter, encoder, shared_prefix
from alignlab.tables import Row

log = logging.getLogger(__name__)
WINDOW = 512


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


def generate(
    spec: dict[str, Any],
    prompts: list[Path],
    model: Path,
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
        spec: the arm's semantic slice: arm, model, method, decoding, engine, seed, digest.
        prompts: prompts tables, in order.
        model: folder of a materialised model.
        adapter: folder of the adapter, if the model is a tuned one.
        embedder: folder of the embedding model, for retrieval.
        output: responses table to write.
        part: the share of prompts this job answers.
        aside: folder where finished batches wait; shared by all parts of the arm.
        batch_size: prompts per forward pass.

    Raises:
        AlignlabError: a prompt is in two of the tables, or the model cannot be loaded.
    """
    _check_unique(prompts)
    engine_module = import_module(f"alignlab.engines.{spec['engine']['name']}")
    engine = engine_module.load(model, spec["engine"]["dtype"], batch_size, adapter)
    prompter = build_prompter(spec["method"], engine.tokenizer, embedder)
    job = Job(spec, engine, prompter, aside)
    first, last = part.bounds(sum(tables.opened("prompts", p).metadata.num_rows for p in prompts))
    rows = islice((row for path in prompts for row in tables.rows("prompts", path)), first, last)
    with tables.writing("responses", output, spec) as writer, job.watched(last - first):
        while window := list(islice(rows, WINDOW)):
            writer.write(job.answer(window))
        job.report()


def gather(spec: dict[str, Any], parts: list[Path], output: Path, aside: Path) -> None:
    """Join the parts of an arm, in order, and drop what its jobs had put aside.

    Raises:
        AlignlabError: no prompt of the arm fitted the model's context window.
    """
    total = failed = 0
    with tables.writing("responses", output, spec) as writer:
        for path in parts:
            for batch in tables.opened("responses", path).iter_batches(batch_size=WINDOW):
                rows = batch.to_pylist()
                writer.write(rows)
                total += len(rows)
                failed += sum(row["finish_reason"] == "error" for row in rows)
        if total and failed == total:
            raise AlignlabError(
                f"arm {spec['arm']}: not one of {total} prompts fits the context window of "
                f"{spec['model']}; use a shorter prompt or another model"
            )
    shutil.rmtree(aside, ignore_errors=True)


class Job:
    """What stays the same over the windows of a job."""

    def __init__(
        self, spec: dict[str, Any], engine: Engine, prompter: Prompter, aside: Path
    ) -> None:
        self.spec, self.engine, self.prompter, self.aside = spec, engine, prompter, aside
        self.leftovers = [str(path) for path in aside.glob("[!.]*.parquet")]
        self.decoding = Decoding.model_validate(spec["decoding"])
        self.encode = encoder(engine.tokenizer, prompter)
        self.prefix = shared_prefix(prompter, self.encode)
        self.too_long: list[str] = []
        self.announced = False

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
                talk.answers.append(rows[talk.prompt["prompt_id"], talk.sample, turn]["text"])
        order = {row["prompt_id"]: at for at, row in enumerate(window)}
        return [rows[key] for key in sorted(rows, key=lambda key: (order[key[0]], *key[1:]))]

    def _answer_turn(
        self, talks: list[Conversation], turn: int, kept: dict[tuple[str, int, int], Row]
    ) -> Iterator[Row]:
        """One turn of some conversations; answers that were put aside are not asked for again."""
        requests: list[tuple[Conversation, Request]] = []
        for talk in talks:
            if row := kept.get((talk.prompt["prompt_id"], talk.sample, turn)):
                self.bar.update(turn == 0)
                yield row
                continue
            request = self._request(talk, turn)
            if len(request.prompt_ids) >= self.engine.context_window:
                self.too_long.append(f"{talk.prompt['prompt_id']} turn {turn}")
                yield self._row(talk, turn, request, None)
            else:
                requests.append((talk, request))
        answers = self.engine.generate(
            [request for _, request in requests], self.prefix, self.decoding, self.prompter.stopping
        )
        for batch in answers:
            rows = [self._row(requests[i][0], turn, requests[i][1], done) for i, done in batch]
            tables.write("responses", self.aside / f"{uuid4().hex}.parquet", rows, self.spec)
            self.bar.update(len(rows) if turn == 0 else 0)
            yield from rows

    def _request(self, talk: Conversation, turn: int) -> Request:
        text = self.prompter.render(talk.prompt["turns"][: turn + 1], talk.answers)
        if not self.announced:
            log.info("first prompt of arm %s:\n%s", self.spec["arm"], text)
            self.announced = True
        seed = None
        if self.decoding.temperature:
            origin = (self.spec["seed"], self.spec["arm"], talk.prompt["prompt_id"], turn)
            seed = derived_seed(*origin, talk.sample)
        return Request(self.encode(text), seed)

    def _row(self, talk: Conversation, turn: int, request: Request, done: Completion | None) -> Row:
        """A responses row; without a completion it says that the prompt did not fit."""
        ids = done.token_ids if done else []
        raw = self.engine.tokenizer.decode(ids, skip_special_tokens=True)
        text, trimmed = self.prompter.stopping.cut(raw)
        return {
            "arm": self.spec["arm"],
            "model": self.spec["model"],
            "prompt_id": talk.prompt["prompt_id"],
            "turn": turn,
            "sample": talk.sample,
            "prompt_ids": request.prompt_ids,
            "raw_text": raw,
            "text": text,
            "token_ids": ids,
            "finish_reason": done.finish_reason if done else "error",
            "trimmed": trimmed if done else "prompt_too_long",
            "num_tokens": len(ids),
            "num_words": len(text.split()),
            "seed": request.seed,
        }

    def _put_aside_earlier(self, prompt_ids: list[str]) -> dict[tuple[str, int, int], Row]:
        """Rows that an earlier, interrupted job of this arm finished."""
        if not self.leftovers:
            return {}
        found = ds.dataset(self.leftovers).to_table(filter=pc.field("prompt_id").isin(prompt_ids))
        return {(r["prompt_id"], r["sample"], r["turn"]): r for r in found.to_pylist()}

    def report(self) -> None:
        """Say which prompts could not be asked; their rows say so too."""
        if self.too_long:
            window, model = self.engine.context_window, self.spec["model"]
            log.warning(
                "arm %s: %d prompts do not fit the %d-token window of %s: %s",
                *(self.spec["arm"], len(self.too_long), window, model),
                ", ".join(self.too_long[:5]),
            )


def _check_unique(prompts: list[Path]) -> None:
    """A prompt asked twice would count twice, and its answers could not be told apart."""
    seen: set[str] = set()
    for path in prompts:
        ids = tables.opened("prompts", path).read(columns=["prompt_id"])["prompt_id"].to_pylist()
        if twice := sorted(seen.intersection(ids)):
            raise AlignlabError(f"{path}: prompt {twice[0]!r} is in two prompt sets")
        seen.update(ids)


def derived_seed(*origin: int | str) -> int:
    """A 63-bit seed from what the answer belongs to, the same on every machine."""
    text = "/".join(str(part) for part in origin)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
