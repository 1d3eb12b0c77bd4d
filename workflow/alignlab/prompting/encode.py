"""The interface of prompters; their text as exact token ids with one BOS; the shared prefix.

Also where an answer ends (`Stopping`): at a stop string, or at the fence that closes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

from alignlab.core.errors import AlignlabError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FENCE_LINE = re.compile(r"(?m)^[ \t]*(`{3,})([^`\n]*)(\n|\Z)")
Encode = Callable[[str], list[int]]
PROBES = ("A", "1", "```")


@dataclass(frozen=True)
class Stopping:
    """Stop strings at the start of a line, and whether the prompt opened a fence to be closed."""

    strings: tuple[str, ...] = ()
    fenced: bool = False

    def cut(self, raw: str, complete: bool = True) -> tuple[str, str]:
        """Cut an answer where it ends.

        Args:
            raw: generated text.
            complete: no more text follows; otherwise a fence at the very end may still become
                "```python" and is not yet taken as closing.

        Returns:
            The answer, stripped, and why it was cut: `fence`, `stop_string` or "" if it was not.
        """
        at = self._stop_string(raw)
        answer = raw if at < 0 else raw[:at]
        fence = _closing_fence(answer, complete or at >= 0) if self.fenced else -1
        if fence >= 0:
            return answer[:fence].strip(), "fence"
        return answer.strip(), "" if at < 0 else "stop_string"

    def may_end(self, tail: str) -> bool:
        """Cheap test on the last few tokens' text: is a full `cut` worth the time?"""
        return (self.fenced and "```" in tail) or any(stop in tail for stop in self.strings)

    def _stop_string(self, raw: str) -> int:
        """Offset of the first line that begins with a stop string, or -1."""
        starts = [0 if raw.startswith(stop) else raw.find(f"\n{stop}") for stop in self.strings]
        return min((start for start in starts if start >= 0), default=-1)


def _closing_fence(raw: str, complete: bool) -> int:
    """Offset of the fence line that closes the answer, or -1.

    URIAL's runner strips every fence, which destroys code: here a fence with a language, or a bare
    one after a colon with text behind it, opens a block inside the answer.
    """
    opened: re.Match[str] | None = None
    for fence in FENCE_LINE.finditer(raw):
        ends_text = not fence[3]
        if ends_text and not complete:
            return -1
        if opened:
            opened = fence if fence[2].strip() else None
        elif fence[2].strip() or raw[: fence.start()].rstrip().endswith(":"):
            opened = fence
        else:
            return fence.start()
    # A bare fence with nothing after it was no code block: "The answer is:" and then the end.
    if complete and opened and not opened[2].strip() and not raw[opened.end() :].strip():
        return opened.start()
    return -1


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
