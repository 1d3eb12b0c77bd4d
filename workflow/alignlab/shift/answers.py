"""An arm's answers as both models of a pair see them: the same ids after each one's own prompt.

No text is tokenised again between generation and scoring. Published answers have text only; they
are tokenised here, which the table records.
"""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, Literal

from alignlab.core import tables
from alignlab.core.config import StrictModel
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.core.templates import answer_start, is_answer
from alignlab.engines.config import Computing
from alignlab.planning.artefact import Job, Spec
from alignlab.prompting.build import build_prompter
from alignlab.prompting.encode import (
    Encode,
    Encoder,
    Prompt,
    Prompter,
    Stopping,
    common_context,
    encoder,
)
from alignlab.shift import BATCH_TOKENS
from alignlab.shift.model import Forced, Weights

log = logging.getLogger(__name__)

# Answers read, sorted by length and written together.
WINDOW = 256


class SideSpec(StrictModel):
    """One of the two models of a pair.

    Attributes:
        model: its name.
        method: how it is asked, resolved; None where answers bring their prompts with them.
    """

    model: str
    method: dict[str, Any] | None = None


class AlignedSpec(SideSpec):
    """The model whose answers are scored; `arm` is the one that gave them."""

    arm: str


class ShiftSpec(Spec):
    """What a pair's token shift is made of.

    Attributes:
        pair: its name.
        template: whether each model sees its `own` prompt, or both the base's.
        base: the base model.
        aligned: the aligned model.
        engine: how both are run.
    """

    pair: str
    template: Literal["own", "shared"]
    base: SideSpec
    aligned: AlignedSpec
    engine: Computing


class ShiftJob(Job):
    """What `score_shift` is given; see `Weights` for what a model consists of.

    Attributes:
        responses: answers of the aligned model.
        prompts: prompts tables, for the base model's own prompt; answers to others are left out.
        output: the token_shift table.
        models_together: hold both models in memory; else one after the other, with the aligned
            model's hidden states on disk in between. The numbers are the same.
    """

    spec: ShiftSpec
    responses: Path
    prompts: tuple[Path, ...]
    base_model: Path
    base_adapter: Path | None = None
    base_embedder: Path | None = None
    aligned_model: Path
    aligned_adapter: Path | None = None
    aligned_embedder: Path | None = None
    models_together: bool = False

    def base(self) -> Weights:
        """Where the base model lies."""
        return Weights(self.base_model, self.base_adapter, self.base_embedder)

    def aligned(self) -> Weights:
        """Where the aligned model lies."""
        return Weights(self.aligned_model, self.aligned_adapter, self.aligned_embedder)


@dataclass(frozen=True)
class ScoredAnswer:
    """One answer to score; `number` counts those of an arm.

    The base model cannot read a token that it lacks: that one and what follows are `left_out`. Its
    last token is the one that ended it, if `ended`.
    """

    number: int
    row: Row
    base: Forced
    aligned: Forced
    left_out: int = 0
    ended: bool = False


@dataclass(frozen=True)
class Voice:
    """How one model of the pair is asked."""

    prompter: Prompter
    encode: Encode

    def context(self, turns: list[str], answers: list[str]) -> list[int]:
        """Token ids before the answer to `turns[len(answers)]`."""
        return self.encode(self.prompter.render(turns, answers))


class Answers:
    """The answers of a responses table that both models can score.

    Attributes:
        total: answers of the table.
        retokenised: published answers, which come without token ids.
        lacking: ids of tokens that the base model lacks.
        left_out: tokens of answers that are such, or follow one in their answer.
        empty: answers without a token to score, or that ended in their thoughts.
        too_long: answers that do not fit a model's context window.
    """

    def __init__(self, job: ShiftJob) -> None:
        """Check the vocabularies and count what must be tokenised.

        Raises:
            AlignlabError: the models share no vocabulary.
        """
        self.spec, self.responses = job.spec, job.responses
        self.base, self.aligned = job.base(), job.aligned()
        self.lacking = check_vocabularies(self.base, self.aligned)
        self.turns = {
            row["prompt_id"]: row["turns"]
            for path in job.prompts
            for row in tables.rows("prompts", path)
        }
        sides = {"base": (self.spec.base, self.base), "aligned": (self.spec.aligned, self.aligned)}
        self.voices = {
            side: _voice(spec.method, weights)
            for side, (spec, weights) in sides.items()
            if spec.method
        }
        text_only = [_has_text_only(row) for row in self._rows()]
        self.total, self.retokenised = len(text_only), sum(text_only)
        self.left_out: dict[str, int] = {}
        self.empty: dict[str, None] = {}
        self.too_long: dict[str, None] = {}

    def __iter__(self) -> Iterator[ScoredAnswer]:
        """Answers in the order of the table; what cannot be scored is counted."""
        talk: tuple[str, int] | None = None
        earlier: list[str] = []
        for number, row in enumerate(self._rows()):
            if talk != (row["prompt_id"], row["sample"]):
                talk, earlier = (row["prompt_id"], row["sample"]), []
            answer = self._answer(number, row, earlier)
            earlier = [*earlier, row["text"]]
            if answer.left_out:
                self.left_out[_label(row)] = answer.left_out
            if not answer.base.answer:
                self.empty[_label(row)] = None
            elif not self._fits(answer):
                self.too_long[_label(row)] = None
            else:
                yield answer

    def _rows(self) -> Iterator[Row]:
        """Answers to the prompts of the pair, in the order of the table."""
        rows = tables.rows("responses", self.responses)
        return (row for row in rows if row["prompt_id"] in self.turns)

    @property
    def counts(self) -> dict[str, int]:
        """How many answers there are, and how many of them were scored or made ids of; and how
        many tokens are not scored because of those that the base model lacks.
        """
        scored = self.total - len(self.empty) - len(self.too_long)
        counts = {"answers": self.total, "scored": scored, "retokenised": self.retokenised}
        return {**counts, "left_out_tokens": sum(self.left_out.values())}

    def report(self) -> None:
        """Say what was left out or tokenised again."""
        for rows, what in (
            (self.empty, "have no token to score"),
            (self.too_long, "do not fit the context window"),
        ):
            if rows:
                some = ", ".join(list(rows)[:5])
                log.warning("pair %s: %d answers %s: %s", self.spec.pair, len(rows), what, some)
        if tokens := sum(self.left_out.values()):
            log.warning(
                "pair %s: %d tokens of %d answers are not scored: they are tokens that the base "
                "model lacks, or follow one; the measures are over the %s",
                *(self.spec.pair, tokens, len(self.left_out), "vocabulary that both models have"),
            )
        if self.retokenised:
            count = self.retokenised
            log.warning("pair %s: %d answers tokenised from text", self.spec.pair, count)

    def _answer(self, number: int, row: Row, earlier: list[str]) -> ScoredAnswer:
        turns = self.turns[row["prompt_id"]]
        thoughts, spoken_ids = self._ids(row)
        ids = list(takewhile(lambda id_: id_ not in self.lacking, [*thoughts, *spoken_ids]))
        thoughts, ids = ids[: len(thoughts)], ids[len(thoughts) :]
        left_out = len(spoken_ids) - len(ids)
        ended = not left_out and (row["finish_reason"] == "eos" or bool(self._end_of(row)))
        base = self.voices["base"].context(turns, earlier)
        if self.spec.template == "shared":
            aligned = base
        elif "aligned" in self.voices:
            aligned = self.voices["aligned"].context(turns, earlier)
        else:
            aligned = row["prompt_ids"]
        both = [Forced([*context, *thoughts], ids) for context in (base, aligned)]
        return ScoredAnswer(number, row, both[0], both[1], left_out, ended)

    def _ids(self, row: Row) -> tuple[list[int], list[int]]:
        """The ids of the thoughts, which both models read and which are not scored, and the
        answer's; of one that a stop string ended, those of its text, not of the stop.
        """
        if _has_text_only(row):
            return [], self._published_ids(row)
        self._check_ids(row)
        ids = row["token_ids"]
        if not is_answer(row):
            return ids, []
        lengths, length = range(len(ids) + 1), self._text_length(row)
        start, first, last = answer_start(row), 0, len(ids)
        if start or row["thoughts"] is not None:
            first = bisect_right(lengths, start, key=length) - 1
        if row["finish_reason"] == "stop":
            end = row["raw_text"].find(row["text"], start) + len(row["text"])
            last = bisect_left(lengths, end, key=length)
        return ids[:first], ids[first:last]

    def _published_ids(self, row: Row) -> list[int]:
        """Ids of a text: only the token that ended it is control, whatever else it names."""
        text = row["text"]
        said = Prompt.of(text, [(0, len(text) - len(self._end_of(row)))])
        try:
            return self._encode.tokens(said).ids
        except AlignlabError as error:
            raise AlignlabError(f"{self.responses}: {_label(row)}: {error}") from error

    @cached_property
    def _encode(self) -> Encoder:
        return Encoder(self.aligned.tokenizer, True, self._stopping.tokens)

    @property
    def _stopping(self) -> Stopping:
        """What ends an answer of the aligned model, beside its EOS."""
        voice = self.voices.get("aligned")
        return voice.prompter.stopping if voice else Stopping()

    def _end_of(self, row: Row) -> str:
        """The token at the end of a published text that ended the answer, or ""."""
        tokenizer = self.aligned.tokenizer
        ends = [tokenizer.eos_token, *tokenizer.convert_ids_to_tokens([*self._stopping.tokens])]
        text = row["text"] if _has_text_only(row) else ""
        return next((end for end in ends if end and text.endswith(end)), "")

    def _text_length(self, row: Row) -> Callable[[int], int]:
        """Characters that the first so many ids of an answer decode to."""
        decode = self.aligned.tokenizer.decode
        return lambda count: len(decode(row["token_ids"][:count], skip_special_tokens=True))

    def _check_ids(self, row: Row) -> None:
        """The ids must be this tokenizer's: they decode to the text that was stored with them."""
        decoded = self.aligned.tokenizer.decode(row["token_ids"], skip_special_tokens=True)
        if decoded != row["raw_text"]:
            raise AlignlabError(
                f"{self.responses}: {_label(row)}: token ids do not decode to the answer's text; "
                f"they were made with another revision of the tokenizer of {self.aligned.name}"
            )
        width = min(self.base.width, self.aligned.width)
        for id_ in row["token_ids"]:
            if id_ >= width and id_ not in self.lacking:
                raise AlignlabError(
                    f"{self.responses}: {_label(row)}: {self.aligned.name} and {self.base.name} "
                    f"have no common token {id_}"
                )

    def _fits(self, answer: ScoredAnswer) -> bool:
        return (
            len(answer.base.fed) <= self.base.context_window
            and len(answer.aligned.fed) <= self.aligned.context_window
        )


def check_vocabularies(base: Weights, aligned: Weights) -> frozenset[int]:
    """Every id that both know must mean the same token, and the aligned model know all the base's.

    Returns:
        Ids of tokens that only the aligned model has, such as those of a chat template.

    Raises:
        AlignlabError: the vocabularies differ otherwise.
    """
    ours, theirs = (
        {id_: token for token, id_ in weights.tokenizer.get_vocab().items() if id_ < weights.width}
        for weights in (base, aligned)
    )
    for id_, here in sorted(ours.items()):
        there = theirs.get(id_)
        if (there and here != there) or id_ >= aligned.width:
            raise AlignlabError(
                f"{aligned.name} and {base.name} have different vocabularies: token {id_} is "
                f"{there!r} in the one and {here!r} in the other; token shift compares models that "
                "share one, to which the aligned model may add tokens"
            )
    return frozenset(theirs.keys() - ours.keys())


def _voice(method: dict[str, Any], weights: Weights) -> Voice:
    prompter = build_prompter(method, weights.tokenizer, weights.embedder)
    return Voice(prompter, encoder(weights.tokenizer, prompter))


def _has_text_only(row: Row) -> bool:
    return not row["token_ids"] and row["finish_reason"] == "unknown"


def _label(row: Row) -> str:
    sample = f" sample {row['sample']}" if row["sample"] else ""
    return f"{row['prompt_id']} turn {row['turn']}{sample}"


Batch = list[ScoredAnswer]


@dataclass(frozen=True)
class Window:
    """Some answers, and the ids that all their prompts begin with for either model."""

    batches: list[Batch]
    base_prefix: list[int]
    aligned_prefix: list[int]


def windows(answers: Iterable[ScoredAnswer]) -> Iterator[Window]:
    """Cut answers into windows; the same answers always give the same batches."""
    left = iter(answers)
    while window := list(islice(left, WINDOW)):
        base = common_context(answer.base.context for answer in window)
        aligned = common_context(answer.aligned.context for answer in window)
        own = {
            answer.number: max(
                len(answer.base.fed) - len(base), len(answer.aligned.fed) - len(aligned)
            )
            for answer in window
        }
        window.sort(key=lambda answer: own[answer.number], reverse=True)
        yield Window(list(_batches(window, own)), base, aligned)


def _batches(window: list[ScoredAnswer], own: dict[int, int]) -> Iterator[Batch]:
    """Runs of descending length whose padded size stays within BATCH_TOKENS, or single answers."""
    while window:
        rows = max(1, BATCH_TOKENS // own[window[0].number])
        yield window[:rows]
        window = window[rows:]
