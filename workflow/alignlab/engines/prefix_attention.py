"""Attention over a prefix that a whole batch shares and each row's own keys, in a cache that grows.

The prefix's keys and values are stored once, not once a row, and read with one matrix product for
all rows, so a constant in-context prompt (URIAL §3: "can be cached") costs its prefill once and
its memory once. Registered as a transformers attention function, so any model of full and
sliding-window layers that supports attention backends works. Masks follow logical positions:
padding between prefix and row never shifts a sliding window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, Cache
from transformers.cache_utils import DynamicLayer

NAME = "alignlab_prefix"
# Score elements (float32) alive at a time: 64 MB. Long prompts are processed in query chunks.
MAX_SCORES = 2**24
ROOM = 64


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


@dataclass(frozen=True)
class Scores:
    """What is done to scores before the softmax, and the sinks' own scores, [heads]."""

    scaling: float
    softcap: float | None
    sinks: Tensor | None


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
        value: like `key`; a head may be narrower than that of keys (DeepSeek).
        attention_mask: always None, positions are in `context`.
        scaling: factor of the scores.
        context: prefix and positions.
        sliding_window: keys at this distance or further are not seen.
        softcap: scores are squashed to this magnitude (Gemma 2).
        dropout: unused at inference.
        s_aux: attention sinks (gpt-oss), [heads]: a score each that no value stands for.

    Returns:
        [batch, queries, heads, head_dim of values] and None.
    """
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    pair = (context.prefix.keys[layer], context.prefix.values[layer]) if context.prefix.keys else ()
    spare = key.shape[2] + context.prefix.length
    chunk = max(1, MAX_SCORES // (query.shape[0] * query.shape[1] * spare))
    shape = Scores(scaling, softcap, s_aux)
    outputs = [
        _attend(part, key, value, pair, _allowed(positions, context, sliding_window), shape)
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
    shape: Scores,
) -> Tensor:
    batch, heads, queries, dim = query.shape
    kv_heads, groups = key.shape[1], heads // key.shape[1]
    if query.dtype == torch.float16:  # products that are not scaled yet can overflow it
        query, shape = query * shape.scaling, replace(shape, scaling=1.0)
    # [batch, kv_heads, groups × queries, dim]: heads that share keys become rows of one product.
    grouped = query.reshape(batch, kv_heads, groups * queries, dim)
    scores = grouped @ key.transpose(2, 3)
    if prefix:
        folded = grouped.transpose(0, 1).reshape(kv_heads, -1, dim) @ prefix[0].transpose(1, 2)
        shared = folded.view(kv_heads, batch, groups * queries, -1).transpose(0, 1)
        scores = torch.cat([shared, scores], dim=-1)
    weights = _softmax(scores, allowed.repeat(1, groups, 1)[:, None], shape, kv_heads)
    weights = weights.to(value.dtype)
    length = prefix[0].shape[1] if prefix else 0
    mixed = weights[..., length:] @ value
    if prefix:
        folded = weights[..., :length].transpose(0, 1).reshape(kv_heads, -1, length) @ prefix[1]
        mixed += folded.view(kv_heads, batch, groups * queries, -1).transpose(0, 1)
    return mixed.view(batch, heads, queries, -1).transpose(1, 2).contiguous()


def _softmax(scores: Tensor, allowed: Tensor, shape: Scores, kv_heads: int) -> Tensor:
    """Masked softmax in float32; a padding query sees nothing and gets any finite weights."""
    scores = scores.float().mul_(shape.scaling)
    if shape.softcap is not None:
        scores = torch.tanh(scores / shape.softcap) * shape.softcap
    scores.masked_fill_(~allowed, torch.finfo(torch.float32).min)
    if shape.sinks is None:
        return scores.softmax(dim=-1)
    groups = shape.sinks.numel() // kv_heads
    sinks = shape.sinks.float().view(1, kv_heads, groups, 1)
    sinks = sinks.expand(len(scores), -1, -1, scores.shape[2] // groups).reshape(
        *scores.shape[:3], 1
    )
    return torch.cat([scores, sinks], dim=-1).softmax(dim=-1)[..., :-1]


AttentionInterface.register(NAME, prefix_attention)


class GrowingLayer(DynamicLayer):
    """Keys and values [batch, kv_heads, tokens, head_dim], as views of larger tensors.

    A decoded token is written in place. transformers' own dynamic cache concatenates at every step,
    which for a batch of long prompts moves more memory than the model itself; its static cache must
    know the final length of every row.
    """

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Append tokens; returns all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._stores = [key_states[:, :, :0], value_states[:, :, :0]]
        start = self.get_seq_length()
        end = start + key_states.shape[2]
        if end > self._stores[0].shape[2]:
            self._stores = [_enlarged(store, end + ROOM) for store in self._stores]
        for store, new in zip(self._stores, (key_states, value_states), strict=True):
            store[:, :, start:end] = new
        self.keys, self.values = (store[:, :, :end] for store in self._stores)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep only these rows of the batch."""
        length = self.get_seq_length()
        self._stores = [store[indices] for store in self._stores]
        self.keys, self.values = (store[:, :, :length] for store in self._stores)


def _enlarged(store: Tensor, tokens: int) -> Tensor:
    larger = store.new_empty(*store.shape[:2], tokens, store.shape[3])
    larger[:, :, : store.shape[2]] = store
    return larger


def growing_cache() -> Cache:
    """An empty cache; it gets its layers as the model runs."""
    return Cache(layer_class_to_replicate=GrowingLayer)


def joined(caches: list[Cache], width: int) -> Cache:
    """One cache for the rows of several, each padded on the left to `width` tokens."""
    whole = growing_cache()
    for index in range(len(caches[0].layers)):
        layers = [cache.layers[index] for cache in caches]
        rows = sum(layer.keys.shape[0] for layer in layers)
        keys, values = (
            side.new_zeros(rows, side.shape[1], width, side.shape[3])
            for side in (layers[0].keys, layers[0].values)
        )
        at = 0
        for layer in layers:
            count, _, length, _ = layer.keys.shape
            keys[at : at + count, :, width - length :] = layer.keys
            values[at : at + count, :, width - length :] = layer.values
            at += count
        whole.update(keys, values, index)
    return whole
