"""Choosing the next token of every row: greedy, or sampled with a generator of the row's own."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import TemperatureLogitsWarper, TopPLogitsWarper

from alignlab.engines.base import Request
from alignlab.engines.config import DecodingConfig


class Chooser:
    """Turns logits into tokens for a batch whose rows may leave.

    The repetition penalty (Keskar et al. 2019) counts generated tokens; prompt tokens only under
    `penalize_prompt`, because a 1,000-token in-context prompt would otherwise be punished itself.
    """

    def __init__(
        self, requests: list[Request], decoding: DecodingConfig, vocab: int, device: torch.device
    ) -> None:
        self.decoding = decoding
        self.generators = [_generator(request, device) for request in requests]
        self.seen: Tensor | None = None
        if decoding.repetition_penalty != 1:
            self.seen = torch.zeros(len(requests), vocab, dtype=torch.bool, device=device)
            if decoding.penalize_prompt:
                for row, request in enumerate(requests):
                    self.seen[row, torch.tensor(request.prompt_ids, device=device)] = True

    def choose(self, logits: Tensor) -> Tensor:
        """Tokens [batch] for float32 logits [batch, vocab]."""
        if self.seen is not None:
            penalty = self.decoding.repetition_penalty
            punished = torch.where(logits < 0, logits * penalty, logits / penalty)
            logits = torch.where(self.seen, punished, logits)
        tokens = self._sample(logits) if self.decoding.temperature else logits.argmax(dim=-1)
        if self.seen is not None:
            self.seen[torch.arange(len(tokens), device=tokens.device), tokens] = True
        return tokens

    def keep(self, rows: Tensor) -> None:
        """Forget the rows that left."""
        self.generators = [self.generators[row] for row in rows.tolist()]
        if self.seen is not None:
            self.seen = self.seen[rows]

    def _sample(self, logits: Tensor) -> Tensor:
        warped = TemperatureLogitsWarper(self.decoding.temperature)(None, logits)
        if self.decoding.top_p < 1:
            warped = TopPLogitsWarper(self.decoding.top_p)(None, warped)
        rows = zip(warped.softmax(dim=-1), self.generators, strict=True)
        return torch.cat([torch.multinomial(p, 1, generator=g) for p, g in rows])


def _generator(request: Request, device: torch.device) -> torch.Generator:
    """A row's own source of chance, so that its answer never depends on its batch."""
    generator = torch.Generator(device)
    return generator.manual_seed(request.seed or 0)
