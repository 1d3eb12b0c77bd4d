"""Two pairs that score the same answers, token by token the same tokens: what changes between them?

    snakemake --cores 2 results/demo/tables/shift_comparisons.parquet

The base model with a URIAL prompt against the base model without: how much of the shift does the
in-context prompt remove? One template for both models against each its own: how much of it is the
prompt, not the tuning?
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from alignlab.core.tables import Row
from alignlab.shift.statistics.measures import METRICS
from alignlab.shift.statistics.tokens import sums_by_prompt
from alignlab.statistics.arrays import Array, estimate, slices
from alignlab.statistics.bootstrap import ratio_intervals

if TYPE_CHECKING:
    import pandas as pd

COMPARED = [name for name, metric in METRICS.items() if metric.above and metric.below == "tokens"]


class Sums(NamedTuple):
    """Of one pair: sums of the compared metrics [metrics, prompts], and tokens [prompts]."""

    metrics: Array
    tokens: Array


def sums(tokens: pd.DataFrame, prompts: int) -> Sums:
    """Add up a pair's tokens by prompt."""
    columns = [tokens[str(METRICS[name].above)] for name in COMPARED]
    metrics = [sums_by_prompt(tokens, column, prompts) for column in columns]
    return Sums(np.stack(metrics), sums_by_prompt(tokens, tokens["tokens"], prompts))


def differences(
    pairs: Sequence[Mapping[str, Any]], found: Mapping[str, Sums], asked: pd.DataFrame, seed: int
) -> Iterator[Row]:
    """Rows of `shift_comparisons`: every pair against the first that scores the same answers.

    Token counts are equal, so the difference of two pooled means is one ratio, and its interval a
    paired bootstrap over prompts. Prompts that only one of them could score are left out.
    """
    datasets, kinds = (asked[name].to_numpy(str) for name in ("dataset", "category"))
    for pair in pairs:
        first = next(other for other in pairs if other["aligned"] == pair["aligned"])
        if first is pair or not {first["name"], pair["name"]} <= found.keys():
            continue
        ours, theirs = found[pair["name"]], found[first["name"]]
        for dataset, category, mask in slices(datasets, kinds):
            both = mask & (ours.tokens > 0) & (ours.tokens == theirs.tokens)
            label = {"pair_a": pair["name"], "pair_b": first["name"]}
            for row in _slice(ours, theirs, both, seed) if both.any() else ():
                yield label | {"dataset": dataset, "category": category} | row


def _slice(ours: Sums, theirs: Sums, both: Array, seed: int) -> Iterator[Row]:
    above = (ours.metrics - theirs.metrics)[:, both]
    below = np.broadcast_to(ours.tokens[both], above.shape)
    for metric, top, bounds in zip(
        COMPARED, above, ratio_intervals(above, below, seed), strict=True
    ):
        yield {
            "metric": metric,
            "prompts": int(both.sum()),
            "tokens": int(below[0].sum()),
            **estimate(top.sum() / below[0].sum(), *bounds),
        }
