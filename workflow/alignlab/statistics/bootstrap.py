"""Intervals of means, over prompts: bootstrap, and Wilson's for shares of none or all.

Used by `alignlab.statistics.summarise`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from alignlab.statistics.values import Array, varies

RESAMPLES = 2000
LEVEL = 0.95

Positions = npt.NDArray[np.intp]


def mean_intervals(values: Array, seed: int) -> Array:
    """95% intervals of the mean of each row; a NaN is a missing value.

    BCa (Efron 1987, "Better bootstrap confidence intervals"), percentile where BCa is undefined.
    Rows that are constant, to rounding, get a zero-width interval. Under two values there is no
    interval: NaN.

    Args:
        values: shape (rows, prompts).
        seed: rows with values for the same prompts share their resamples, so a row's interval does
            not depend on which other rows there are.

    Returns:
        Shape (rows, 2): low and high, in the unit of the values.
    """
    bounds = np.full((len(values), 2), np.nan)
    for rows, prompts in _by_presence(values):
        present = values[np.ix_(rows, prompts)]
        varied = varies(present)
        bounds[rows] = present.mean(axis=1, keepdims=True)
        if varied.any():
            bounds[rows[varied]] = _bca(present[varied], seed)
    return bounds


def share_intervals(values: Array, seed: int) -> Array:
    """The same for shares, each value in [0, 1], where all 0 or all 1 does not mean certainty.

    No resample of such a row differs from it, so it gets the interval of Wilson (1927, "Probable
    inference, the law of succession, and statistical inference"), from one value on.
    """
    bounds = mean_intervals(values, seed)
    counts, sums = (~np.isnan(values)).sum(axis=1), np.nansum(values, axis=1)
    extreme = (counts > 0) & ((sums == 0) | (sums == counts))
    share, count = (sums / np.maximum(counts, 1))[extreme], counts[extreme]
    low, high = proportion_confint(share * count, count, alpha=1 - LEVEL, method="wilson")
    # Rounding may leave the share itself, the end of the scale, a bit outside.
    bounds[extreme, 0] = np.minimum(low, share).clip(0, 1)
    bounds[extreme, 1] = np.maximum(high, share).clip(0, 1)
    return bounds


def _by_presence(values: Array) -> Iterator[tuple[Positions, Positions]]:
    """Group rows that have values for the same prompts: (rows, prompts), two prompts or more."""
    patterns, group = np.unique(~np.isnan(values), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if pattern.sum() > 1:
            yield np.flatnonzero(group == number), np.flatnonzero(pattern)


def _bca(values: Array, seed: int) -> Array:
    """Intervals of rows that are complete and not constant.

    What is resampled is the prompts' positions. A resample's means are then one product with the
    counts of its positions, for all rows at once: a hundred times faster than to let scipy gather
    rows × resamples × prompts values. `einsum` because a BLAS product depends, in the last bit, on
    the number of threads.
    """
    count = values.shape[1]

    def means(positions: Positions, axis: int) -> Array:
        draws = positions.reshape(-1, positions.shape[axis])
        cells = draws + count * np.arange(len(draws))[:, None]
        times = np.bincount(cells.ravel(), minlength=count * len(draws)).reshape(-1, count)
        found = np.einsum("rp,dp->rd", values, times.astype(float)) / draws.shape[1]
        return found.reshape(len(values), *positions.shape[:-1])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (np.arange(count),),
            means,
            n_resamples=RESAMPLES,
            batch=500,
            vectorized=True,
            confidence_level=LEVEL,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    bounds = np.stack(found.confidence_interval, axis=1)
    undefined = np.isnan(bounds).any(axis=1)
    tails = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    bounds[undefined] = np.quantile(found.bootstrap_distribution[undefined], tails, axis=1).T
    return bounds
