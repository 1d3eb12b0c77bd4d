"""Means over prompts and paired differences, cut from one array, for every table of arms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alignlab.core import tables
from alignlab.statistics import intervals, paired
from alignlab.statistics.bootstrap import mean_intervals
from alignlab.statistics.intervals import (
    Array,
    Integers,
    Mask,
    by_cluster,
    is_binary,
    number,
    over_turns,
    varies,
)

OWN = ("mean", "ci_low", "ci_high")


def means(cells: Array, ends: Array, seed: int, clusters: Integers) -> tuple[Array, Array]:
    """Each prompt's mean over its turns, and the 95% interval of the mean over prompts.

    Args:
        cells: shape (arms, metrics, prompts, turns); NaN is a missing value.
        ends: shape (metrics, 2): ends of their scales, NaN where a metric has none:
            then it gets bootstrap intervals.
        seed: of the resamples.
        clusters: shape (prompts,), as in `intervals.by_cluster`.

    Returns:
        Means, shape (arms, metrics, prompts); low and high, shape (arms, metrics, 2).
    """
    found = over_turns(cells)
    bounds = np.empty((*found.shape[:2], 2))
    bounded = ~np.isnan(ends).any(axis=1)
    low, high = np.tile(ends[bounded], (len(found), 1)).T
    of_kind = found[:, bounded].reshape(-1, found.shape[2])
    within = intervals.bounded_intervals(of_kind, low, high, clusters)
    bounds[:, bounded] = within.reshape(len(found), -1, 2)
    of_kind = found[:, ~bounded].reshape(-1, found.shape[2])
    bounds[:, ~bounded] = mean_intervals(of_kind, seed, clusters).reshape(len(found), -1, 2)
    return found, bounds


def compare(
    others: Array, base: Array, seed: int, clusters: Integers | None = None
) -> list[tables.Row]:
    """Compare arms with others on the prompts of one slice, turn by turn.

    Args:
        others: shape (arms, metrics, prompts, turns).
        base: the same shape, or one arm for all.
        seed: of random signs.
        clusters: shape (prompts,), as in `intervals.by_cluster`; without any, each prompt is its
            own. The prompts of a cluster keep or lose their signs together.

    Returns:
        A row per arm and metric, arm by arm, named as in `comparisons`; p-values are not adjusted.
        Where all values are 0 or 1 the interval is Bonett and Price's, and the test is McNemar's if
        the clusters that differ all differ by as much.
    """
    differences = over_turns(others - base).reshape(-1, base.shape[2])
    binary = (is_binary(others) & is_binary(base)).all(axis=(2, 3)).ravel()
    rates = binary & is_binary(np.abs(differences)).all(axis=1)
    surplus, members = by_cluster(differences, clusters)
    surplus[members == 0] = np.nan
    exact = rates & _of_one_size(surplus)
    p_values = np.full(len(differences), np.nan)
    p_values[exact] = paired.mcnemar(surplus[exact])
    p_values[~exact] = paired.sign_flip(surplus[~exact], seed)
    bounds = intervals.difference_intervals(differences, clusters)
    bounds[rates] = intervals.rate_difference_intervals(differences[rates], clusters)
    return [
        {
            **_size(differences[place], clusters, rate=bool(rates[place])),
            "ci_low": number(bounds[place, 0]),
            "ci_high": number(bounds[place, 1]),
            "test": None if np.isnan(p) else paired.MCNEMAR if exact[place] else paired.SIGN_FLIP,
            "p_value": number(p),
        }
        for place, p in enumerate(p_values)
    ]


NOTHING: tables.Row = {
    "n": 0,
    "clusters": 0,
    "mean_difference": None,
    "effect_size": None,
    "minimum_detectable_effect": None,
    "ci_low": None,
    "ci_high": None,
    "test": None,
    "p_value": None,
}
"""A comparison on no prompt."""


def refused(row: tables.Row) -> tables.Row:
    """A comparison that says no more than how many prompts it would have been of."""
    return {**dict.fromkeys(row), "n": row["n"], "clusters": row["clusters"]}


def adjust(family: Sequence[tables.Row]) -> None:
    """Add `p_adjusted`, Holm's, to the rows of a family of comparisons."""
    p_values = np.array([row["p_value"] for row in family], dtype=float)
    for row, p_adjusted in zip(family, paired.holm(p_values), strict=True):
        row["p_adjusted"] = number(p_adjusted)


def mean(values: Array) -> float | None:
    """Mean of those that are not missing; null where none is there."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else None


def counted(values: Array, clusters: Integers | None) -> int:
    """How many clusters have one of the values, shape (prompts,)."""
    return int(np.count_nonzero(by_cluster(values[None], clusters)[1]))


def _of_one_size(surplus: Array) -> Mask:
    """Rows of whole numbers where those that are not zero differ in their sign alone."""
    sizes = np.abs(np.nan_to_num(surplus))
    largest = sizes.max(axis=1, initial=0, keepdims=True)
    return np.asarray(((sizes == 0) | (sizes == largest)).all(axis=1))


def _size(differences: Array, clusters: Integers | None, *, rate: bool) -> tables.Row:
    """How large a difference is, and how small a one could have been found."""
    present = differences[~np.isnan(differences)]
    deviation = float(present.std(ddof=1)) if len(present) > 1 and varies(present) else 0.0
    average = mean(present)
    groups = counted(differences, clusters)
    if rate:
        differing = round(np.count_nonzero(present) * groups / max(1, len(present)))
        detectable = paired.minimum_detectable_rate(groups, differing)
    else:
        error = intervals.standard_errors(differences[None], clusters)[0]
        detectable = paired.minimum_detectable_effect(groups, error * np.sqrt(groups))
    return {
        "n": len(present),
        "clusters": groups,
        "mean_difference": average,
        "effect_size": average / deviation if average is not None and deviation > 0 else None,
        "minimum_detectable_effect": number(detectable),
    }
