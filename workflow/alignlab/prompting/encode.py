"""The interface of prompters; their text as exact token ids with one BOS; the shared prefix.

What is said in a prompt is text: a control token is one only where the chat template writes it
(`Prompt`, `Encoder`). Also where an answer ends (`Stopping`): at a token, a stop string, or at the
fence that closes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tokenizers import AddedToken, Tokenizer

from alignlab.core.errors import AlignlabError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FENCE_LINE = re.compile(r"(?m)^[ \t]*(`{3,})([^`\n]*)(\n|\Z)")
Encode = Callable[[str], list[int]]
PROBES = ("A", "1", "```")
# Private-use characters, each of which stands for a control token of the template.
STAND_INS = 0xF0000
# No character, so no text has it.
NEVER = "\uffff"


@dataclass(frozen=True)
class Stopping:
    """Where an answer ends.

    Attributes:
        strings: end it where they begin a line.
        fenced: the prompt opened a fence, which the answer closes.
        ends: strings that end it wherever they stand.
        tokens: ids that end it, beside those that the engine knows of.
    """

    strings: tuple[str, ...] = ()
    fenced: bool = False
    ends: tuple[str, ...] = ()
    tokens: tuple[int, ...] = ()

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
        stops = (*self.strings, *self.ends)
        return (self.fenced and "```" in tail) or any(stop in tail for stop in stops)

    def _stop_string(self, raw: str) -> int:
        """Offset of the first line that begins with a stop string, or of an end, or -1."""
        starts = [0 if raw.startswith(stop) else raw.find(f"\n{stop}") for stop in self.strings]
        starts += map(raw.find, self.ends)
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


class Prompt(str):
    """A rendered chat: where in it stands what was said, and not what the template wrote.

    Attributes:
        said: first and one-past-last character of each such part, in order. What is added to a
            prompt is said too, such as the beginning of an answer.
    """

    said: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, text: str, said: Iterable[tuple[int, int]]) -> Prompt:
        """A text and what is said in it."""
        made = cls(text)
        made.said = tuple(said)
        return made

    def __add__(self, other: str) -> Prompt:
        whole = str.__add__(self, other)
        return Prompt.of(whole, (*self.said, (len(self), len(whole))))


class EncodedText(NamedTuple):
    """Token ids, and the characters of the text that each covers: first and one past last."""

    ids: list[int]
    offsets: list[tuple[int, int]]


def framing(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """What a tokenizer puts before and after a text by itself.

    Raises:
        AlignlabError: it does something else to a text than that.
    """
    whole, bare = (tokenizer(PROBES[0], add_special_tokens=add).input_ids for add in (True, False))
    for at in range(len(whole) - len(bare) + 1):
        if whole[at : at + len(bare)] == bare:
            return whole[:at], whole[at + len(bare) :]
    raise AlignlabError(
        f"{tokenizer.name_or_path}: the tokenizer does not put its special tokens around a text: "
        f"{PROBES[0]!r} has ids {whole} with them and {bare} without; use another model"
    )


def adds_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a plain text comes to begin with a BOS."""
    bos = tokenizer.bos_token_id
    return bos is not None and framing(tokenizer)[0][:1] == [bos]


class Encoder:
    """How an arm's texts become token ids.

    A text that names no control token has the ids that the tokenizer gives it. Of another one,
    what is said is split as text (`split_special_tokens`), and only what the template wrote is
    control. A plain prompt gets what the tokenizer puts before a text, and never what it puts
    after one: a prompt that ends with EOS asks for another document.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, templated: bool, ends: Sequence[int] = ()
    ) -> None:
        """Make one.

        Args:
            tokenizer: a fast one.
            templated: a chat template writes the special tokens.
            ends: ids that end a turn, which are control even if the tokenizer calls them ordinary.

        Raises:
            AlignlabError: the tokenizer is slow, or alters texts that it frames.
        """
        self.tokenizer, self.templated, self.ends = tokenizer, templated, set(ends)
        self.name = tokenizer.name_or_path
        if not tokenizer.is_fast:
            raise AlignlabError(
                f"{self.name}: the tokenizer has no fast form (tokenizer.json), which tells text "
                "from control tokens; use another model"
            )
        self.before = [] if templated else framing(tokenizer)[0]
        self.bos = tokenizer.bos_token_id if adds_bos(tokenizer) else None
        self._stand_ins: dict[str, str] = {}

    def __call__(self, text: str) -> list[int]:
        """Ids of a prompt.

        Evaluations have lost 60 points to a missing or doubled BOS (lm-evaluation-harness #1465).

        Raises:
            AlignlabError: it does not begin with exactly one BOS, where the tokenizer adds one, or
                says what this tokenizer can only read as a control token.
        """
        ids = self.tokens(text).ids
        if self.bos is not None and not (ids[:1] == [self.bos] and ids[1:2] != [self.bos]):
            raise AlignlabError(
                f"{self.name}: a prompt must begin with exactly one "
                f"{self.tokenizer.bos_token!r}, not {self.tokenizer.decode(ids[:3])!r}"
            )
        return ids

    def tokens(self, text: str) -> EncodedText:
        """Ids of a prompt, or of a prompt and its answer, with their characters."""
        said = text.said if isinstance(text, Prompt) else ()
        found = self._tokens(text, said if self.templated else ((0, len(text)),))
        return EncodedText([*self.before, *found.ids], [(0, 0)] * len(self.before) + found.offsets)

    def alone(self, text: str) -> EncodedText:
        """Ids of what is said, without what stands before it."""
        return self._tokens(text, ((0, len(text)),))

    def _tokens(self, text: str, said: Sequence[tuple[int, int]]) -> EncodedText:
        if self._named(text, said):
            return self._split(text, said)
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return EncodedText(found.input_ids, found.offset_mapping)

    def _named(self, text: str, said: Sequence[tuple[int, int]]) -> re.Match[str] | None:
        """The first control token that is said, if only in part."""
        for match in self._control.finditer(text):
            if any(match.start() < stop and start < match.end() for start, stop in said):
                return match
        return None

    @cached_property
    def _added(self) -> dict[str, tuple[int, AddedToken]]:
        """Every control token: its id and how it is matched."""
        return {
            token.content: (id_, token)
            for id_, token in self.tokenizer.added_tokens_decoder.items()
            if token.special or id_ in self.ends
        }

    @cached_property
    def _control(self) -> re.Pattern[str]:
        longest_first = sorted(self._added, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    @cached_property
    def _splitting(self) -> Tokenizer:
        """The tokenizer, to which control tokens are text; stand-ins are added as they come."""
        state = json.loads(self.tokenizer.backend_tokenizer.to_str())
        for token in state["added_tokens"]:
            token["special"] |= token["content"] in self._added
        if state["model"]["type"] == "Unigram":
            # As SentencePiece does, whose control pieces match no text.
            for at, (piece, _) in enumerate(state["model"]["vocab"]):
                if piece in self._added:
                    state["model"]["vocab"][at][0] = f"{NEVER}{at}"
        splitting = Tokenizer.from_str(json.dumps(state))
        splitting.no_truncation()
        splitting.no_padding()
        splitting.encode_special_tokens = True
        return splitting

    @cached_property
    def _ordinary(self) -> dict[int, int]:
        """Ids of added tokens that are no control tokens: in `_splitting`, and the tokenizer's."""
        return {
            here: id_
            for id_, token in self.tokenizer.added_tokens_decoder.items()
            if token.content not in self._added
            and (here := self._splitting.token_to_id(token.content)) is not None
        }

    def _stand_in(self, token: str) -> str:
        """A character that `_splitting` matches as the tokenizer matches a control token."""
        if token not in self._stand_ins:
            self._stand_ins[token] = chr(STAND_INS + len(self._stand_ins))
            flags = {
                name: getattr(self._added[token][1], name)
                for name in ("single_word", "lstrip", "rstrip", "normalized")
            }
            added = AddedToken(self._stand_ins[token], special=False, **flags)
            self._splitting.add_tokens([added])
        return self._stand_ins[token]

    def _split(self, text: str, said: Sequence[tuple[int, int]]) -> EncodedText:
        """Tokens of a text that names control tokens.

        The same template around harmless words must have the tokenizer's own ids in this way too,
        so what the template wrote is read right.

        Raises:
            AlignlabError: the ids differ, or what is said still gives a control token.
        """
        found = self._without_control(text, said)
        calm, places = _filled(text, said)
        plain: list[int] = self.tokenizer(calm, add_special_tokens=False).input_ids
        control = {id_ for id_, _ in self._added.values()} - {self.tokenizer.unk_token_id}
        expected = sum(id_ in control for id_ in plain)
        if (
            self._without_control(calm, places).ids != plain
            or sum(id_ in control for id_ in found.ids) != expected
            or any(chr(STAND_INS) <= c < chr(0xFFFFE) or c == NEVER for c in text)
        ):
            named = self._named(text, said)
            assert named
            raise AlignlabError(
                f"{self.name}: a text says {named[0]!r}, which this tokenizer can only read as a "
                f"control token: {text[max(0, named.start() - 40) : named.end() + 40]!r}; leave "
                "the text out, or use another model"
            )
        return found

    def _without_control(self, text: str, said: Sequence[tuple[int, int]]) -> EncodedText:
        pieces, origin, at = [], [], 0
        for match in self._control.finditer(text):
            if any(match.start() < stop and start < match.end() for start, stop in said):
                continue
            pieces += [text[at : match.start()], self._stand_in(match[0])]
            origin += [*range(at, match.start()), match.start()]
            at = match.end()
        origin += range(at, len(text) + 1)
        found = self._splitting.encode("".join([*pieces, text[at:]]), add_special_tokens=False)
        ids = self._ordinary | {
            self._splitting.token_to_id(mark): self._added[token][0]
            for token, mark in self._stand_ins.items()
        }
        return EncodedText(
            [ids.get(id_, id_) for id_ in found.ids],
            [(origin[start], origin[stop]) for start, stop in found.offsets],
        )


def _filled(
    text: str, said: Sequence[tuple[int, int]], word: str = "x"
) -> tuple[str, list[tuple[int, int]]]:
    """A text with a harmless word for each thing said, and where these words stand."""
    whole, places, at = "", [], 0
    for start, stop in said:
        whole += text[at:start]
        places.append((len(whole), len(whole) + len(word)))
        whole, at = whole + word, stop
    return whole + text[at:], places


def encoder(tokenizer: PreTrainedTokenizerBase, prompter: Prompter) -> Encoder:
    """How this arm's texts become token ids.

    Raises:
        AlignlabError: see `Encoder`.
    """
    return Encoder(tokenizer, prompter.templated, prompter.stopping.tokens)


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
