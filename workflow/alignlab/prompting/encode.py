"""What a prompter is, and its text → exact token ids, with one BOS; what all prompts begin with.

snakemake --cores 2 --until generate_responses      # each log opens with the arm's first prompt
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

from alignlab.core.errors import AlignlabError
from alignlab.prompting.stopping import Stopping

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Encode = Callable[[str], list[int]]
PROBES = ("A", "1", "```")


class Prompter(Protocol):
    """Renders a conversation as the text that a model continues."""

    @property
    def stopping(self) -> Stopping:
        """Where an answer ends."""
        ...

    @property
    def templated(self) -> bool:
        """The rendered text already holds the special tokens of a chat template."""
        ...

    def render(self, turns: Sequence[str], answers: Sequence[str]) -> str:
        """The text whose continuation answers `turns[len(answers)]`."""
        ...


def adds_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a plain text comes to begin with a BOS."""
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("").input_ids[:1] == [bos]


def encoder(tokenizer: PreTrainedTokenizerBase, prompter: Prompter) -> Encode:
    """How this arm's texts become token ids.

    A chat template writes its own special tokens, so the tokenizer adds none. Evaluations have lost
    60 points to a missing or doubled BOS (lm-evaluation-harness #1465), so it is asserted.
    """
    bos, expected = tokenizer.bos_token_id, adds_bos(tokenizer)

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=not prompter.templated).input_ids
        if expected and not (ids[:1] == [bos] and ids[1:2] != [bos]):
            raise AlignlabError(
                f"{tokenizer.name_or_path}: a prompt must begin with exactly one "
                f"{tokenizer.bos_token!r}, not {tokenizer.decode(ids[:3])!r}"
            )
        return ids

    return encode


def shared_prefix(prompter: Prompter, encode: Encode) -> list[int]:
    """Token ids that every prompt of an arm begins with, found with unlike questions.

    One of them holds a fence, which changes the fence around it. A question that merges into the
    last of these tokens does not begin with them; the engine runs such a row without the prefix,
    so this is a matter of speed and never of correctness.
    """
    return reduce(common_prefix, (encode(prompter.render([probe], [])) for probe in PROBES))


def common_prefix(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """The longest run of ids that both begin with."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))
    return [first for first, _ in pairs]


def common_context(rows: Iterable[list[int]]) -> list[int]:
    """The longest beginning that all rows share and that leaves each a token to run."""
    listed = list(rows)
    return reduce(common_prefix, listed)[: min(map(len, listed)) - 1]


def begins_with(ids: list[int], prefix: list[int]) -> bool:
    """Whether ids go on after a prefix, so that it can be run before them."""
    return len(ids) > len(prefix) and ids[: len(prefix)] == prefix


def guided(turns: Sequence[str], guidance: str | None) -> list[str]:
    """Put the guidance before every question (LfM, arXiv 2310.10477, step 4: guided generation)."""
    return [f"{guidance}\n\n{turn}" if guidance else turn for turn in turns]
