"""Runs token ids through a model: a shared prefix once, rows in batches, more tokens of each row.

Everything that our attention over a shared prefix is used for goes through here: answers, scores of
next tokens, token shift, and the comparison with plain transformers (`alignlab.engines.equality`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from alignlab.engines.prefix_attention import Context, Prefix, growing_cache, joined

if TYPE_CHECKING:
    from transformers import Cache


class PrefixModel:
    """A causal language model whose attention is `prefix_attention`.

    Attributes:
        prefilled: tokens run through the model before decoding, padding included; for accounting.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        self.model, self.device = model, device
        self.prefilled = 0
        self._computed: tuple[list[int], Prefix] | None = None

    def prefill_prefix(self, ids: list[int]) -> Prefix:
        """Keys and values of a prefix; the last one is kept for the next window of prompts."""
        if not ids:
            return Prefix(0)
        if self._computed and self._computed[0] == ids:
            return self._computed[1]
        cache = growing_cache()
        positions = self.positions([ids], 0)
        self.forward([ids], Context(Prefix(0), positions, positions), cache)
        self.prefilled += len(ids)
        keys, values = (tuple(part[0] for part in side) for side in _layers(cache))
        self._computed = (ids, Prefix(len(ids), keys, values))
        return self._computed[1]

    def start(self, rows: Sequence[list[int]], prefix: Prefix) -> Batch:
        """Run rows that continue a prefix, longest first, in groups of like length."""
        logits, caches, positions = [], [], []
        for group in groups_of_like_length([len(row) for row in rows]):
            own = rows[group]
            positions.append(self.positions(own, prefix.length))
            caches.append(growing_cache())
            context = Context(prefix, positions[-1], positions[-1])
            logits.append(self.forward(own, context, caches[-1]))
            self.prefilled += positions[-1].numel()
        width = max(part.shape[1] for part in positions)
        keys = torch.cat([pad(p, (width - p.shape[1], 0), value=-1) for p in positions])
        return Batch(self, torch.cat(logits), Context(prefix, keys, keys), joined(caches, width))

    def forward(self, rows: Sequence[list[int]], context: Context, cache: Cache) -> Tensor:
        """Run left-padded rows; float32 logits of the last token, [batch, vocab]."""
        output = self.model(
            input_ids=self.padded(rows),
            position_ids=context.query_positions.clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            context=context,
        )
        return output.logits[:, -1].float()

    def padded(self, rows: Sequence[list[int]]) -> Tensor:
        """Rows padded on the left, [batch, width]; what stands in the padding is never seen."""
        width = max(len(row) for row in rows)
        return torch.tensor([[0] * (width - len(row)) + row for row in rows], device=self.device)

    def positions(self, rows: Sequence[list[int]], start: int | Sequence[int]) -> Tensor:
        """Positions of left-padded rows that continue after `start` tokens; padding is -1.

        `start` is one number for all rows, or one each.
        """
        width = max(len(row) for row in rows)
        starts = [start] * len(rows) if isinstance(start, int) else start
        listed = [
            [-1] * (width - len(row)) + list(range(first, first + len(row)))
            for row, first in zip(rows, starts, strict=True)
        ]
        return torch.tensor(listed, device=self.device)


class Batch:
    """Rows that are run side by side, one or some tokens further at a time.

    Attributes:
        logits: after the last token of every row, float32 [batch, vocab].
    """

    def __init__(self, runs: PrefixModel, logits: Tensor, context: Context, cache: Cache) -> None:
        self.runs, self.logits, self.context, self.cache = runs, logits, context, cache
        self.lengths = (context.query_positions[:, -1] + 1).tolist()

    def extend(self, rows: list[list[int]]) -> None:
        """Run more tokens of every row, at least one each."""
        positions = self.runs.positions(rows, self.lengths)
        self.context = self.context.extended(positions)
        self.logits = self.runs.forward(rows, self.context, self.cache)
        self.lengths = [length + len(row) for length, row in zip(self.lengths, rows, strict=True)]

    def peek(self, rows: list[list[int]]) -> Tensor:
        """Logits after more tokens of every row, which are not kept."""
        positions = self.runs.positions(rows, self.lengths)
        logits = self.runs.forward(rows, self.context.extended(positions), self.cache)
        self.cache.crop(-positions.shape[1])
        self.runs.prefilled += positions.numel()
        return logits

    def keep(self, staying: list[int]) -> None:
        """Let all other rows leave."""
        keep = torch.tensor(staying, device=self.runs.device)
        self.context = self.context.rows(keep)
        self.cache.batch_select_indices(keep)
        self.lengths = [self.lengths[row] for row in staying]


def groups_of_like_length(lengths: list[int]) -> Iterator[slice]:
    """Cut descending lengths into runs whose padding is at most a tenth of their tokens."""
    start = 0
    for end in range(1, len(lengths) + 1):
        run = lengths[start : end + 1]
        if end == len(lengths) or len(run) * run[0] > 1.1 * sum(run):
            yield slice(start, end)
            start = end


def _layers(cache: Cache) -> tuple[list[Tensor], list[Tensor]]:
    return [layer.keys for layer in cache.layers], [layer.values for layer in cache.layers]
