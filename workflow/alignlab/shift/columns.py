"""Scores of a batch of answers as rows of the token_shift table, column by column.

python -m alignlab.core.tables results/store/shift/<pair>-<digest>.parquet
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from alignlab.shift.answers import Answer
from alignlab.shift.categories import categorise
from alignlab.shift.divergence import TOP, Shift

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CLASSES = np.array(["unshifted", "marginal", "shifted"])
# Highest rank that is still unshifted, and still marginal (URIAL §2.1).
LIMITS = (1, 3)


class Vocabulary:
    """Texts of token ids; each id is decoded once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._texts: dict[int, str] = {}

    def texts(self, ids: Tensor) -> pa.Array:
        """Text of each id of a flat tensor."""
        known, places = torch.unique(ids, return_inverse=True)
        texts = pa.array([self.text(id_) for id_ in known.tolist()], pa.string())
        return texts.take(pa.array(places.numpy()))

    def text(self, id_: int) -> str:
        """One id's text within a sentence: some tokenizers drop the space before a first token."""
        if id_ not in self._texts:
            within = self._decoded([*self._anchor, id_])
            self._texts[id_] = within[len(self._decoded(self._anchor)) :]
        return self._texts[id_]

    @cached_property
    def special(self) -> frozenset[int]:
        """Ids of special tokens."""
        added = self.tokenizer.added_tokens_decoder
        return frozenset(id_ for id_, token in added.items() if token.special)

    @cached_property
    def _anchor(self) -> list[int]:
        return self.tokenizer("a", add_special_tokens=False).input_ids

    def _decoded(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def table(
    spec: dict[str, Any], answers: Sequence[Answer], shift: Shift, vocabulary: Vocabulary
) -> pa.Table:
    """Rows of `answers`, one after the other; `shift` holds their tokens in the same order."""
    lengths = [len(answer.base.answer) for answer in answers]
    ids = torch.tensor(list(chain.from_iterable(answer.base.answer for answer in answers)))
    columns = {
        "pair": pa.array([spec["pair"]] * len(ids)),
        "template": pa.array([spec["template"]] * len(ids)),
        **{
            name: pa.array(np.repeat([answer.row[name] for answer in answers], lengths))
            for name in ("prompt_id", "turn", "sample")
        },
        "position": pa.array(np.concatenate([np.arange(length) for length in lengths])),
        "token_id": pa.array(ids.numpy()),
        "token": vocabulary.texts(ids),
        "shift_class": pa.array(CLASSES[np.digitize(shift.base_rank.numpy(), LIMITS, right=True)]),
        "kl_kind": pa.array(["exact"] * len(ids)),
        **{name: _column(values) for name, values in vars(shift).items()},
        "base_topk_tokens": _lists(vocabulary.texts(shift.base_topk_ids.flatten())),
        "aligned_topk_tokens": _lists(vocabulary.texts(shift.aligned_topk_ids.flatten())),
        **_kinds(answers, vocabulary),
    }
    return pa.table(columns)


def _column(values: Tensor) -> pa.Array:
    """[rows] as a column of numbers, [rows, TOP] as one of lists."""
    flat = pa.array(values.flatten().numpy())
    return flat if values.ndim == 1 else _lists(flat)


def _lists(flat: pa.Array) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(flat, TOP)


def _kinds(answers: Sequence[Answer], vocabulary: Vocabulary) -> dict[str, list[Any]]:
    """What kind of token each is."""
    special = [[id_ in vocabulary.special for id_ in answer.base.answer] for answer in answers]
    kinds: list[str] = []
    ends: list[bool] = []
    for answer, flags in zip(answers, special, strict=True):
        kinds += categorise([vocabulary.text(id_) for id_ in answer.base.answer], flags)
        # A published answer's text may hold the end token; why it ended is unknown.
        last = answer.base.answer[-1] == vocabulary.tokenizer.eos_token_id
        ends += [False] * (len(flags) - 1) + [answer.row["finish_reason"] == "eos" or last]
    flat = list(chain.from_iterable(special))
    return {"is_special": flat, "is_eos": ends, "token_category": kinds}
