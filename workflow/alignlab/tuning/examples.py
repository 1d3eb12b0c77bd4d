"""Checked rows of a training set as the token ids and labels that a model is tuned on.

A prompt is rendered and encoded by the room that does it when the tuned model is asked, so both
see the same ids. An answer has the ids that it has in the whole text. Only where its first token
would merge with the end of the prompt is it tokenised alone, since a model that is asked has the
prompt's ids and goes on from there. The loss counts the pieces of the answer and the token that
ends it; a token that is part marker, part piece counts, so the space between them does.

What would silently ruin a tuning is checked before the first step; a message names the model, and
the row where there is one. `alignlab.learning.overlap` checks for prompts of an evaluation.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.engines.config import Computing
from alignlab.planning.artefact import Spec
from alignlab.prompting.build import build_prompter
from alignlab.prompting.encode import EncodedText, Encoder, Prompter, encoder
from alignlab.tuning.config import TRAINERS, DpoConfig, LoraConfig, RlhfConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)
BETWEEN_PIECES = "\n\n"
Ids = dict[str, list[int]]
UNLABELLED = -100  # torch's own number for "no loss here"


class AdapterSpec(Spec):
    """How a model is tuned: the keys of `TunedConfig`, with method and chat template resolved.

    Attributes:
        method: as `MethodConfig.resolved` gives it.
        chat_template: Jinja text that replaces the tokenizer's.
        engine: how the base's weights are held.
        seed: of the order of rows, dropout, new weights and sampled answers.
    """

    name: str
    base: str
    trainset: str
    trainer: Literal[tuple(TRAINERS)]  # type: ignore[valid-type]
    dpo: DpoConfig | None = None
    rlhf: RlhfConfig | None = None
    method: dict[str, Any]
    chat_template: str | None = None
    lora: LoraConfig
    epochs: int
    batch_size: int
    learning_rate: float
    warmup: float
    max_grad_norm: float
    max_length: int
    engine: Computing
    seed: int

    @model_validator(mode="after")
    def _trainer_has_its_keys(self) -> AdapterSpec:
        if TRAINERS[self.trainer].keys and getattr(self, self.trainer) is None:
            raise ValueError(f"{self.trainer}: trainer {self.trainer} needs it")
        return self


@dataclass(frozen=True)
class Examples:
    """Rows of the table `trainset` with what turns them into ids."""

    spec: AdapterSpec
    rows: list[Row]
    tokenizer: PreTrainedTokenizerBase
    prompter: Prompter
    encode: Encoder

    @property
    def end(self) -> int:
        """The token that ends an answer: EOS, which every engine stops at.

        The chat template's own is learnt only where there is no EOS. A base model never saw it, and
        adapters leave embeddings as they are: Gemma 3 270M forgot `<eos>` in 24 steps on it and
        gave `<end_of_turn>` a chance of 0.0007, where it had learnt `<eos>` to 0.93.

        Raises:
            AlignlabError: there is neither.
        """
        tokens = (self.tokenizer.eos_token_id, *self.prompter.stopping.tokens)
        end = next((token for token in tokens if token is not None), None)
        if end is None:
            raise AlignlabError(
                f"{self.tokenizer.name_or_path}: the tokenizer has no token to end answers"
            )
        return end

    def where(self, row: Row) -> str:
        """Names a row in a message."""
        return f"{self.spec.name}: example {row['example_id']}"

    def render(self, row: Row) -> str:
        """The text whose continuation is the row's answer."""
        return self.prompter.render([row["prompt"]], [])


def open_examples(
    spec: AdapterSpec, rows: list[Row], tokenizer: PreTrainedTokenizerBase
) -> Examples:
    """Rows as a spec asks them; nothing is tokenised yet.

    Raises:
        AlignlabError: the tokenizer or its chat template cannot put them.
    """
    try:
        prompter = build_prompter(spec.method, tokenizer, None)
        return Examples(spec, rows, tokenizer, prompter, encoder(tokenizer, prompter))
    except AlignlabError as error:
        raise AlignlabError(f"{spec.name}: {error}") from error


def labelled(examples: Examples) -> list[Ids]:
    """`input_ids` and `labels` of every row, in order; labels without loss are -100.

    Raises:
        AlignlabError: a row is a preference, or fails a check of `check_example`.
    """
    for row in examples.rows:
        if row["kind"] == "preference":
            trainers = " or ".join(name for name, t in TRAINERS.items() if t.preferences)
            raise AlignlabError(
                f"{examples.where(row)} is a preference, which trainer {trainers} learns from"
            )
    return [_one(examples, row, row["markers"], row["completion"]) for row in examples.rows]


def preferences(examples: Examples) -> list[Ids]:
    """`prompt_ids`, `chosen_ids` and `rejected_ids` of the rows that are preferences, in order.

    Raises:
        AlignlabError: no row is one, both answers are the same, or one fails a check.
    """
    pairs = [row for row in examples.rows if row["kind"] == "preference"]
    if not pairs:
        raise AlignlabError(
            f"{examples.spec.name}: trainset {examples.spec.trainset} has no preferences, "
            f"which trainer {examples.spec.trainer} learns from"
        )
    return [_pair(examples, row) for row in pairs]


def _pair(examples: Examples, row: Row) -> Ids:
    (chosen,), rejected = row["completion"], row["rejected"]
    if chosen == rejected:
        raise AlignlabError(f"{examples.where(row)}: both answers are the same")
    both = [_one(examples, row, [""], [answer]) for answer in (chosen, rejected)]
    start = both[0]["labels"].count(UNLABELLED)
    good, bad = (one["input_ids"] for one in both)
    return {"prompt_ids": good[:start], "chosen_ids": good[start:], "rejected_ids": bad[start:]}


def _one(examples: Examples, row: Row, markers: Sequence[str], pieces: Sequence[str]) -> Ids:
    asked = examples.render(row)
    prompt = examples.encode(asked)
    text, between = _joined(markers, pieces)
    answer, offsets = _continued(examples, asked, prompt, text)
    labels = [
        UNLABELLED if any(begin <= start and end <= stop for begin, stop in between) else token
        for token, (start, end) in zip(answer, offsets, strict=True)
    ]
    example = {
        "input_ids": [*prompt, *answer, examples.end],
        "labels": [*[UNLABELLED] * len(prompt), *labels, examples.end],
    }
    check_example(examples, row, example)
    return example


def _joined(markers: Sequence[str], pieces: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The answer's text, and the characters of it that are no piece: where they begin and end."""
    text, between = "", []
    for marker, piece in zip(markers, pieces, strict=True):
        before = (BETWEEN_PIECES if text else "") + (f"{marker} " if marker else "")
        if before:
            between.append((len(text), len(text) + len(before)))
        text += before + piece
    return text, between


def _continued(examples: Examples, asked: str, prompt: list[int], text: str) -> EncodedText:
    """Ids of a text after a prompt, and the characters of the text that each covers."""
    whole = examples.encode.tokens(asked + text)
    if whole.ids[: len(prompt)] != prompt:
        return _alone(examples.encode, text)
    behind, shift = len(prompt), len(asked)
    offsets = [(start - shift, end - shift) for start, end in whole.offsets[behind:]]
    return EncodedText(whole.ids[behind:], offsets)


def _alone(encode: Encoder, text: str) -> EncodedText:
    """Ids of an answer without what stands before it.

    Llama's tokenizers put a space before a text, which no answer has: behind a line break they do
    not (trl#2054).
    """
    behind = encode.alone(f"\n{text}")
    if any(start < 1 < end for start, end in behind.offsets):
        return encode.alone(text)
    found = [(id_, at) for id_, at in zip(*behind, strict=True) if at[0] >= 1]
    return EncodedText([id_ for id_, _ in found], [(s - 1, e - 1) for _, (s, e) in found])


def choose_padding(examples: Examples) -> None:
    """Pad with a token that is not the end of an answer, where there is one.

    A reward model finds an answer's end by it. Others know what is padding by its place, so a
    tokenizer with one special token for everything, such as GPT-2's, will do for them.

    Raises:
        AlignlabError: no token ends an answer, or a reward model has no other token to pad with.
    """
    tokenizer = examples.tokenizer
    end = tokenizer.convert_ids_to_tokens(examples.end)
    named = (tokenizer.pad_token, tokenizer.unk_token, tokenizer.bos_token, tokenizer.eos_token)
    other = next((token for token in named if token not in (None, end)), None)
    if other is None and examples.spec.rlhf:
        raise AlignlabError(
            f"{tokenizer.name_or_path}: no special token but {end!r} to pad with, and a reward "
            "model would take padding for the end of an answer; use trainer sft or dpo"
        )
    tokenizer.pad_token = other or end


def check_example(examples: Examples, row: Row, example: Ids) -> None:
    """One end of the answer, something to learn before it, and not too long.

    Args:
        examples: whose spec and tokens count.
        row: what the example is of.
        example: `input_ids` and `labels`, of equal length.

    Raises:
        AlignlabError: one of these does not hold.
    """
    where, end = examples.where(row), examples.end
    longest, length = examples.spec.max_length, len(example["input_ids"])
    learnt = [label for label in example["labels"] if label != UNLABELLED]
    if learnt.count(end) != 1 or learnt[-1] != end:
        raise AlignlabError(
            f"{where}: {examples.tokenizer.convert_ids_to_tokens(end)!r} must stand once in the "
            f"labels, at the end of the answer; it stands there {learnt.count(end)} times"
        )
    if len(learnt) == 1:
        raise AlignlabError(f"{where}: no token of the answer carries loss")
    if length > longest:
        raise AlignlabError(f"{where}: {length} tokens are more than max_length, {longest}")


def check_batch(spec: AdapterSpec, count: int, what: str) -> None:
    """There must be enough for one batch.

    Raises:
        AlignlabError: there are fewer.
    """
    if count < spec.batch_size:
        raise AlignlabError(
            f"{spec.name}: {count} {what} are fewer than one batch; batch_size is {spec.batch_size}"
        )
