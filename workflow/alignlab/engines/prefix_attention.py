"""Attention over a prefix that a whole batch shares and keys of each row's own.

    python benchmarks/prefix_cache.py

The prefix's keys and values are stored once, not once a row, and read with one matrix product for
all rows, so a constant in-context prompt (URIAL §3: "can be cached") costs its prefill once and
its memory once. Registered as a transformers attention function, so any model of full and
sliding-window layers that supports attention backends works. Masks follow logical positions:
padding between prefix and row never shifts a sliding window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import AttentionInterface

NAME = "alignlab_prefix"
# Score elements (float32) alive at a time: 64 MB. Long prompts are processed in query chunks.
MAX_SCORES = 2**24


@dataclass(frozen=True)
class Prefix:
    """Keys and values of `length` tokens, per layer [kv_heads, length, head_dim]."""

    length: int
    keys: tuple[Tensor, ...] = ()
    values: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Context:
    """What attention needs to know about a forward pass; passed to the model as `context=`.

    query_positions: [batch, queries]; key_positions: [batch, keys] of each row's own tokens.
    Positions count from the start of the prefix; padding has -1.
    """

    prefix: Prefix
    query_positions: Tensor
    key_positions: Tensor

    def extended(self, positions: Tensor) -> Context:
        """The context of the next step, whose queries are one new token a row, [batch, 1]."""
        keys = torch.cat([self.key_positions, positions], dim=1)
        return replace(self, query_positions=positions, key_positions=keys)

    def rows(self, keep: Tensor) -> Context:
        """The context of a part of the batch."""
        return replace(
            self,
            query_positions=self.query_positions[keep],
            key_positions=self.key_positions[keep],
        )


def prefix_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    context: Context,
    sliding_window: int | None = None,
    softcap: float | None = None,
    dropout: float = 0.0,
    s_aux: Tensor | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attend to the shared prefix and to each row's own keys in one softmax.

    Args:
        module: the attention layer; its `layer_idx` selects the prefix layer.
        query: [batch, heads, queries, head_dim].
        key: own keys, [batch, kv_heads, keys, head_dim].
        value: like `key`.
        attention_mask: always None, positions are in `context`.
        scaling: factor of the scores.
        context: prefix and positions.
        sliding_window: keys at this distance or further are not seen.
        softcap: scores are squashed to this magnitude (Gemma 2).
        dropout: unused at inference.
        s_aux: attention sinks (gpt-oss), which are not supported.

    Returns:
        [batch, queries, heads, head_dim] and None.
    """
    if s_aux is not None:
        raise ValueError("attention sinks are not supported")
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    pair = (context.prefix.keys[layer], context.prefix.values[layer]) if context.prefix.keys else ()
    spare = key.shape[2] + context.prefix.length
    chunk = max(1, MAX_SCORES // (query.shape[0] * query.shape[1] * spare))
    outputs = [
        _attend(
            part, key, value, pair, _allowed(positions, context, sliding_window), scaling, softcap
        )
        for part, positions in zip(
            torch.split(query, chunk, dim=2),
            torch.split(context.query_positions, chunk, dim=1),
            strict=True,
        )
    ]
    return torch.cat(outputs, dim=1), None


def _allowed(positions: Tensor, context: Context, window: int | None) -> Tensor:
    """Which keys a query sees, bool [batch, queries, prefix + keys]."""
    shared = torch.arange(context.prefix.length, device=positions.device)
    shared = shared.expand(positions.shape[0], -1)
    keys = torch.cat([shared, context.key_positions], dim=1)[:, None, :]
    queries = positions[:, :, None]
    allowed = (keys >= 0) & (keys <= queries)
    return allowed if window is None else allowed & (queries - keys < window)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefix: tuple[Tensor, ...],
    allowed: Tensor,
    scaling: float,
    softcap: float | None,
) -> Tensor:
    batch, heads, queries, dim = query.shape
    kv_heads, groups = key.shape[1], heads // key.shape[1]
    # [batch, kv_heads, groups × queries, dim]: heads that share keys become rows of one product.
    grouped = query.reshape(batch, kv_heads, groups * queries, dim)
    scores = grouped @ key.transpose(2, 3)
    if prefix:
        folded = grouped.transpose(0, 1).reshape(kv_heads, -1, dim) @ prefix[0].transpose(1, 2)
        shared = folded.view(kv_heads, batch, groups * queries, -1).transpose(0, 1)
        scores = torch.cat([shared, scores], dim=-1)
    weights = _softmax(scores, allowed.repeat(1, groups, 1)[:, None], scaling, softcap)
    weights = weights.to(value.dtype)
    length = prefix[0].shape[1] if prefix else 0
    mixed = weights[..., length:] @ value
    if prefix:
        folded = weights[..., :length].transpose(0, 1).reshape(kv_heads, -1, length) @ prefix[1]
        mixed += folded.view(kv_heads, batch, groups * queries, dim).transpose(0, 1)
    return mixed.view(batch, heads, queries, dim).transpose(1, 2).contiguous()


def _softmax(scores: Tensor, allowed: Tensor, scaling: float, softcap: float | None) -> Tensor:
    """Masked softmax in float32; a padding query sees nothing and gets any finite weights."""
    scores = scores.float().mul_(scaling)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    return scores.masked_fill_(~allowed, torch.finfo(torch.float32).min).softmax(dim=-1)


AttentionInterface.register(NAME, prefix_attention)
