"""Which tokens are shifted: the tokens themselves, their categories, the base model's confidence.

Used by `alignlab.shift.statistics.summarise`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from alignlab.core.tables import Row
from alignlab.statistics.arrays import Array, number
from alignlab.statistics.bootstrap import ratio_share_intervals
from alignlab.statistics.resampling import Integers

if TYPE_CHECKING:
    import pandas as pd

TOP = 200
BINS = 10


def top_tokens(tokens: pd.DataFrame, asked: pd.DataFrame, seed: int) -> Iterator[Row]:
    """Rows of `shifted_tokens`: the 200 tokens most often shifted, the most frequent first."""
    by_token = tokens.groupby("token_id")
    counts = by_token.agg(count=("tokens", "sum"), shifted=("shifted", "sum")).reset_index()
    base_rate = tokens["shifted"].mean()
    found = counts[counts["shifted"] > 0].sort_values(
        ["shifted", "token_id"], ascending=[False, True]
    )
    for row in found.head(TOP).itertuples():
        of_token = by_token.get_group(row.token_id)
        shifted = of_token[of_token["shifted"] > 0]
        yield {
            "token_id": int(row.token_id),
            "token": of_token["token"].iloc[0],
            "token_category": of_token["token_category"].mode()[0],
            "count": int(row.count),
            "shifted": int(row.shifted),
            "lift": float(row.shifted / row.count / base_rate),
            "prompts": int(shifted["prompt"].nunique()),
        }


def categories(tokens: pd.DataFrame, asked: pd.DataFrame, seed: int) -> Iterator[Row]:
    """Rows of `shift_categories`, for the categories that occur."""
    names, group = np.unique(tokens["token_category"].to_numpy(str), return_inverse=True)
    shape = (len(names), len(asked))
    count, shifted, kl = (
        _sums(tokens, group, shape, column) for column in ("tokens", "shifted", "kl_aligned_base")
    )
    bounds = ratio_share_intervals(shifted, count, seed)
    shifted_all, kl_all = shifted.sum(), kl.sum()
    for place, name in enumerate(names):
        here = count[place].sum()
        yield {
            "token_category": str(name),
            "tokens": int(here),
            "share": float(here / len(tokens)),
            "shifted_rate": float(shifted[place].sum() / here),
            "ci_low": number(bounds[place, 0]),
            "ci_high": number(bounds[place, 1]),
            "share_of_shifted": _share(shifted[place].sum(), shifted_all),
            "share_of_kl": _share(kl[place].sum(), kl_all),
        }


def confidence(tokens: pd.DataFrame, asked: pd.DataFrame, seed: int) -> Iterator[Row]:
    """Rows of `shift_confidence`: ten bins of the base model's top probability, even empty ones."""
    # Float32 log-probabilities may give a bit more than one.
    group = np.minimum(tokens["confidence"].to_numpy() * BINS, BINS - 1).astype(int)
    shape = (BINS, len(asked))
    count, misses, shifted = (
        _sums(tokens, group, shape, column) for column in ("tokens", "disagrees", "shifted")
    )
    bounds = ratio_share_intervals(misses, count, seed)
    for place in range(BINS):
        here = count[place].sum()
        yield {
            "low": place / BINS,
            "high": (place + 1) / BINS,
            "tokens": int(here),
            "share": _share(here, len(tokens)),
            "disagreement": _share(misses[place].sum(), here),
            "ci_low": number(bounds[place, 0]),
            "ci_high": number(bounds[place, 1]),
            "shifted_rate": _share(shifted[place].sum(), here),
        }


def _sums(tokens: pd.DataFrame, group: Integers, shape: tuple[int, int], column: str) -> Array:
    """Sum of a column by group and prompt; shape (groups, prompts)."""
    cells = group * shape[1] + tokens["prompt"].to_numpy()
    sums = np.bincount(cells, tokens[column], shape[0] * shape[1])
    return sums.reshape(shape).astype(float)


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
