"""The interfaces of the rooms that answer: `Engine` and `Respondent`; and when a row has ended.

Engines (`transformers_engine`, `vllm_engine`, `fake_engine`) turn token ids into token ids. A
respondent answers an arm's questions, with an engine (`alignlab.answering.generate`) or an endpoint
(`alignlab.endpoints.respondent`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Literal, Protocol

from alignlab.core.templates import MARKUP, Spoken, spoken
from alignlab.engines.config import DecodingConfig
from alignlab.prompting.encode import Stopping

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FinishReason = Literal["stop", "eos", "length"]
# A stop string spans few tokens; only their text is decoded at every step.
TAIL = 8
# So many tokens at the end of a prompt may open thoughts.
HEAD = 32


@dataclass(frozen=True)
class Request:
    """One prompt. `seed` is None under greedy decoding."""

    prompt_ids: list[int]
    seed: int | None = None


@dataclass(frozen=True)
class Completion:
    """One answer: generated ids with the stopping ones, and why it ended."""

    token_ids: list[int]
    finish_reason: FinishReason


class Engine(Protocol):
    """A loaded model. The order and number of requests never change a completion's meaning.

    Attributes:
        plain: why rows are run alone by transformers' own code; empty if they are not.
    """

    tokenizer: PreTrainedTokenizerBase
    context_window: int
    plain: str

    def generate(
        self,
        requests: Sequence[Request],
        prefix: Sequence[int],
        decoding: DecodingConfig,
        stopping: Stopping,
    ) -> Iterator[list[tuple[int, Completion]]]:
        """Answer all requests; yields (index, completion) pairs as batches finish.

        Args:
            requests: prompts that fit the context window with at least one token to spare.
            prefix: token ids that most prompts begin with; computed once.
            decoding: how to choose tokens.
            stopping: where an answer ends, in addition to the model's end-of-turn tokens.
        """
        ...


@dataclass(frozen=True)
class Question:
    """A turn of a conversation that waits for an answer.

    Attributes:
        turns: the user's messages; the last is the question.
        answers: what was answered to the earlier ones.
        sample: 0-based; asked again, the same question may get another answer.
        seed: null under greedy decoding.
    """

    turns: Sequence[str]
    answers: Sequence[str]
    sample: int
    seed: int | None


@dataclass(frozen=True)
class Answer:
    """What came of a question.

    Attributes:
        raw: the answer as it came, with thoughts that stand in it, before it is cut.
        finish_reason: how it ended: as the engine says, `unknown`, or `error` for no answer.
        trimmed: in a word, why there is none or a part is missing; else empty.
        said: the same in a sentence, for the log.
        prompt_ids: token ids that the model was given; none are known of an endpoint.
        token_ids: generated ids with the stopping ones; none are known of an endpoint.
        num_tokens: generated tokens, those of thoughts included; null if they are not known.
        spoken: its thoughts, which are no part of the answer, and what follows them; null where
            only the raw text can tell.
    """

    raw: str
    finish_reason: FinishReason | Literal["unknown", "error"]
    trimmed: str = ""
    said: str = ""
    prompt_ids: list[int] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    num_tokens: int | None = 0
    spoken: Spoken | None = None

    @property
    def made(self) -> bool:
        """Whether there is an answer; it may say nothing."""
        return self.finish_reason != "error"


class Respondent(Protocol):
    """A model under a prompting method.

    Attributes:
        stopping: where an answer ends.
        remembers: a killed process' answers are known to the next one without further ado.
        plain: see `Engine`.
    """

    stopping: Stopping
    remembers: bool
    plain: str

    def shown(self, question: Question) -> str:
        """What the model reads, for the log."""
        ...

    def answers(self, questions: Iterable[Question]) -> Iterator[list[tuple[int, Answer]]]:
        """Answer all questions, each exactly once; yields (index, answer) pairs as they come."""
        ...


class Markup:
    """Finds a model's thoughts in its token ids; their markup may be special tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._decode = tokenizer.decode
        added = tokenizer.added_tokens_decoder.items()
        self._marks = {i: t.content for i, t in added if t.special and t.content in MARKUP}

    def spoken(self, token_ids: list[int], prompt_ids: list[int]) -> Spoken:
        """The thoughts and the answer in generated ids; the prompt may have opened the thoughts."""
        runs = groupby(token_ids, key=self._marks.get)
        text = "".join(
            mark or self._decode(list(ids), skip_special_tokens=True) for mark, ids in runs
        )
        return spoken(text, self._decode(prompt_ids[-HEAD:]))


class Ending:
    """Collects the tokens of every row and says who goes on."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        end_ids: set[int],
        stopping: Stopping,
        prompts: list[list[int]],
        budgets: list[int],
    ) -> None:
        """Make one for a batch.

        Args:
            tokenizer: of the model.
            end_ids: tokens that end a turn.
            stopping: what else ends one.
            prompts: token ids of every row's prompt, which may have opened its thoughts.
            budgets: new tokens that every row may have.
        """
        self.tokenizer, self.stopping, self.prompts = tokenizer, stopping, prompts
        self.end_ids = end_ids.union(stopping.tokens)
        # A stop string may be long in tokens: at worst, one a character.
        self.tail = max(TAIL, *map(len, ("", *stopping.strings, *stopping.ends)))
        self.budgets = budgets
        self.tokens: list[list[int]] = [[] for _ in budgets]
        self.reasons: list[FinishReason | None] = [None] * len(budgets)
        self.running = list(range(len(budgets)))

    @property
    def completions(self) -> list[Completion]:
        """One per row; a row that is still running counts as cut by length."""
        return [
            Completion(tokens, reason or "length")
            for tokens, reason in zip(self.tokens, self.reasons, strict=True)
        ]

    def accept(self, tokens: list[int]) -> list[int]:
        """Append one token to every running row; returns positions (in the batch) that go on."""
        for row, token in zip(self.running, tokens, strict=True):
            self.tokens[row].append(token)
        tails = self.tokenizer.batch_decode(
            [self.tokens[row][-self.tail :] for row in self.running]
        )
        for row, tail in zip(self.running, tails, strict=True):
            self.reasons[row] = self._reason(row, tail)
        staying = [at for at, row in enumerate(self.running) if self.reasons[row] is None]
        self.running = [self.running[at] for at in staying]
        return staying

    def _reason(self, row: int, tail: str) -> FinishReason | None:
        tokens = self.tokens[row]
        if tokens[-1] in self.end_ids:
            return "eos"
        if self.stopping.may_end(tail) and self._stopped(row):
            return "stop"
        return "length" if len(tokens) >= self.budgets[row] else None

    def _stopped(self, row: int) -> bool:
        # Thoughts may hold what would end an answer.
        answer = self._markup.spoken(self.tokens[row], self.prompts[row]).answer
        return bool(self.stopping.cut(answer, complete=False)[1])

    @cached_property
    def _markup(self) -> Markup:
        return Markup(self.tokenizer)


def end_ids(named: int | list[int] | None, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Every token that ends a turn, as the generation config (`named`) and the tokenizer say."""
    listed = named if isinstance(named, list) else [named]
    return {token for token in [*listed, tokenizer.eos_token_id] if token is not None}
