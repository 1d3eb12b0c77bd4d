"""Bootstrap intervals of means, over prompts.

Used by `alignlab.statistics.summarise`; `mean_intervals(values, seed)` is the whole interface.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import stats

from alignlab.statistics.values import Array

RESAMPLES = 2000
LEVEL = 0.95

Positions = npt.NDArray[np.intp]


def mean_intervals(values: Array, seed: int) -> Array:
    """95% intervals of the mean of each row; a NaN is a missing value.

    BCa (Efron 1987, "Better bootstrap confidence intervals"), percentile where BCa is undefined.
    Constant rows get a zero-width interval. Under two values there is no interval: NaN.

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
        varies = np.ptp(present, axis=1) > 0
        bounds[rows] = present.mean(axis=1, keepdims=True)
        if varies.any():
            bounds[rows[varies]] = _bca(present[varies], seed)
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
