"""What every engine does. `alignlab.engines.transformers` and `alignlab.engines.fake` do it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from transformers import PreTrainedTokenizerBase

from alignlab.experiment.decoding import Decoding
from alignlab.prompting.stopping import Stopping

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
        decoding: Decoding,
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
