"""Means over prompts and paired differences, cut from one array as every table of arms needs them.

Used by `alignlab.statistics.summarise`, `scenarios` and `discrimination`.
"""

from __future__ import annotations

import numpy as np

from alignlab import tables
from alignlab.statistics import paired
from alignlab.statistics.bootstrap import mean_intervals, share_intervals
from alignlab.statistics.values import Array, Mask, Values, is_binary, number, over_turns, varies


def shares(values: Values) -> Mask:
    """Which metrics are shares, all their values 0 or 1 in every arm; shape (metrics,)."""
    return np.asarray(is_binary(values.cube).all(axis=(0, 2, 3)))


def means(cells: Array, share: Mask, seed: int) -> tuple[Array, Array]:
    """Each prompt's mean over its turns, and the 95% interval of the mean over prompts.

    Args:
        cells: shape (arms, metrics, prompts, turns); NaN is a missing value.
        share: shape (metrics,): which get Wilson's interval where all values are 0 or all are 1.
        seed: of the resamples.

    Returns:
        Means, shape (arms, metrics, prompts); low and high, shape (arms, metrics, 2).
    """
    found = over_turns(cells)
    bounds = np.empty((*found.shape[:2], 2))
    for of_kind, intervals in ((share, share_intervals), (~share, mean_intervals)):
        rows = found[:, of_kind].reshape(-1, found.shape[2])
        bounds[:, of_kind] = intervals(rows, seed).reshape(len(found), -1, 2)
    return found, bounds


def compare(others: Array, base: Array, seed: int) -> list[tables.Row]:
    """Compare arms with others on the prompts of one slice, turn by turn.

    Args:
        others: shape (arms, metrics, prompts, turns).
        base: the same shape, or one arm for all.
        seed: of resamples and random signs.

    Returns:
        A row per arm and metric, arm by arm, named as in `comparisons`; p-values are not adjusted.
    """
    differences = over_turns(others - base).reshape(-1, base.shape[2])
    binary = (is_binary(others) & is_binary(base)).all(axis=(2, 3)).ravel()
    exact = binary & is_binary(np.abs(differences)).all(axis=1)
    p_values = np.full(len(differences), np.nan)
    p_values[exact] = paired.mcnemar(differences[exact])
    p_values[~exact] = paired.sign_flip(differences[~exact], seed)
    bounds = mean_intervals(differences, seed)
    return [
        {
            **_size(differences[place]),
            "ci_low": number(bounds[place, 0]),
            "ci_high": number(bounds[place, 1]),
            "test": None if np.isnan(p) else paired.MCNEMAR if exact[place] else paired.SIGN_FLIP,
            "p_value": number(p),
        }
        for place, p in enumerate(p_values)
    ]


def mean(values: Array) -> float | None:
    """Mean of those that are not missing; null where none is there."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else None


def _size(differences: Array) -> tables.Row:
    """How large a difference is, and how small a one could have been found."""
    present = differences[~np.isnan(differences)]
    deviation = float(present.std(ddof=1)) if len(present) > 1 and varies(present) else 0.0
    average = mean(present)
    return {
        "n": len(present),
        "mean_difference": average,
        "effect_size": average / deviation if average is not None and deviation > 0 else None,
        "minimum_detectable_effect": number(
            paired.minimum_detectable_effect(len(present), deviation)
        ),
    }
