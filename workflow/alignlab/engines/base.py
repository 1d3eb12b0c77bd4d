"""What every engine does, and what answers an arm's questions: one of them, or an endpoint.

    snakemake --cores 2 --until generate_responses

Engines are `transformers_engine`, `vllm_engine` and `fake_engine`; `answering.local_respondent`
puts a question to one of them, `endpoints.respondent` to an endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from alignlab.engines.config import DecodingConfig
from alignlab.prompting.stopping import Stopping

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FinishReason = Literal["stop", "eos", "length"]


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
    """A loaded model. The order and number of requests never change a completion's meaning."""

    tokenizer: PreTrainedTokenizerBase
    context_window: int

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
            stopping: where an answer ends, besides the model's end-of-turn tokens.
        """
        ...


@dataclass(frozen=True)
class Question:
    """A turn of a conversation that is to be answered.

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
        raw: the answer as it came, before it is cut.
        finish_reason: how it ended: as the engine says, `unknown`, or `error` for no answer.
        trimmed: in a word, why there is none or a part is missing; else empty.
        said: the same in a sentence, for the log.
        prompt_ids: token ids that the model was given; none are known of an endpoint.
        token_ids: generated ids with the stopping ones; none are known of an endpoint.
        num_tokens: generated tokens; null if they are not known.
    """

    raw: str
    finish_reason: FinishReason | Literal["unknown", "error"]
    trimmed: str = ""
    said: str = ""
    prompt_ids: list[int] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    num_tokens: int | None = 0

    @property
    def made(self) -> bool:
        """Whether there is an answer; it may say nothing."""
        return self.finish_reason != "error"


class Respondent(Protocol):
    """A model under a prompting method.

    Attributes:
        stopping: where an answer ends.
        remembers: a killed process' answers are known to the next one without further ado.
    """

    stopping: Stopping
    remembers: bool

    def shown(self, question: Question) -> str:
        """What the model reads, for the log."""
        ...

    def answers(self, questions: Iterable[Question]) -> Iterator[list[tuple[int, Answer]]]:
        """Answer all questions, each exactly once; yields (index, answer) pairs as they come."""
        ...
