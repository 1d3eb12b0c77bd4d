"""When each row of a batch ends: an end-of-turn token, a stop string, or no budget left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alignlab.engines.base import Completion, FinishReason
from alignlab.prompting.stopping import Stopping

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# A stop string spans few tokens; only their text is decoded at every step.
TAIL = 8


class Ending:
    """Collects the tokens of every row and says who goes on."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        end_ids: set[int],
        stopping: Stopping,
        budgets: list[int],
    ) -> None:
        self.tokenizer, self.end_ids, self.stopping = tokenizer, end_ids, stopping
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
        tails = self.tokenizer.batch_decode([self.tokens[row][-TAIL:] for row in self.running])
        for row, tail in zip(self.running, tails, strict=True):
            self.reasons[row] = self._reason(row, tail)
        staying = [at for at, row in enumerate(self.running) if self.reasons[row] is None]
        self.running = [self.running[at] for at in staying]
        return staying

    def _reason(self, row: int, tail: str) -> FinishReason | None:
        tokens = self.tokens[row]
        if tokens[-1] in self.end_ids:
            return "eos"
        if self.stopping.may_end(tail) and self._stopped(tokens):
            return "stop"
        return "length" if len(tokens) >= self.budgets[row] else None

    def _stopped(self, tokens: list[int]) -> bool:
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return bool(self.stopping.cut(text, complete=False)[1])


def end_ids(named: int | list[int] | None, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Every token that ends a turn, as the generation config (`named`) and the tokenizer say."""
    listed = named if isinstance(named, list) else [named]
    return {token for token in [*listed, tokenizer.eos_token_id] if token is not None}
