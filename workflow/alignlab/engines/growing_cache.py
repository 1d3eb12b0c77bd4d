"""A key-value cache with room to grow: a decoded token is written in place, nothing is copied.

transformers' own dynamic cache concatenates at every step, which for a batch of long prompts moves
more memory than the model itself; its static cache must know the final length of every row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import Cache
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from torch import Tensor

ROOM = 64


class GrowingLayer(DynamicLayer):
    """Keys and values [batch, kv_heads, tokens, head_dim], as views of larger tensors."""

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
