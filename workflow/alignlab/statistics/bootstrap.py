"""Bootstrap intervals over prompts of means without a scale and of ratios.

    python -m pytest -n0 tests/statistics/test_bootstrap.py

Used by `statistics.estimates` and `shift.statistics.summarise`; `intervals` has the others.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy import stats

from alignlab.statistics.arrays import Array, Mask, varies
from alignlab.statistics.intervals import LEVEL, TAILS, widened

RESAMPLES = 2000
DECIMALS = 12

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
    for rows, prompts in _by_presence(~np.isnan(values)):
        present = values[np.ix_(rows, prompts)]
        varied = varies(present)
        bounds[rows] = present.mean(axis=1, keepdims=True)
        if varied.any():
            bounds[rows[varied]] = _bca(present[varied], lambda means: means, seed)
    return bounds


def ratio_intervals(numerators: Array, denominators: Array, seed: int) -> Array:
    """95% intervals of sum(numerators) / sum(denominators) of each row, resampling prompts.

    All tokens of a prompt move together, so this is a cluster bootstrap. Method, seed and edge
    cases as in `mean_intervals`; a prompt whose denominator is 0 is a missing value.

    Args:
        numerators: shape (rows, prompts), each the sum over a prompt's tokens.
        denominators: the same shape, 0 or more.
        seed: as in `mean_intervals`.

    Returns:
        Shape (rows, 2): low and high.
    """
    bounds = np.full((len(numerators), 2), np.nan)
    for rows, prompts in _by_presence(denominators > 0):
        above, below = (sums[np.ix_(rows, prompts)] for sums in (numerators, denominators))
        varied = varies(above / below)
        bounds[rows] = (above.sum(axis=1) / below.sum(axis=1))[:, None]
        if varied.any():
            stacked = np.concatenate([above[varied], below[varied]])
            bounds[rows[varied]] = _bca(stacked, _ratios, seed)
    return bounds


def ratio_share_intervals(numerators: Array, denominators: Array, seed: int) -> Array:
    """`ratio_intervals` of shares, with Wilson's where a share is 0 or 1.

    His count is that of prompts, not of tokens, which are not independent; under two there is no
    interval.
    """
    counts = (denominators > 0).sum(axis=1)
    above, below = numerators.sum(axis=1), denominators.sum(axis=1)
    shares = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    bounds = ratio_intervals(numerators, denominators, seed)
    return widened(bounds, shares, np.where(counts > 1, counts, 0))


def _by_presence(present: Mask) -> Iterator[tuple[Positions, Positions]]:
    """Group rows that have values for the same prompts: (rows, prompts), two prompts or more."""
    patterns, group = np.unique(present, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if pattern.sum() > 1:
            yield np.flatnonzero(group == number), np.flatnonzero(pattern)


def _ratios(means: Array) -> Array:
    above, below = np.split(means, 2)
    return above / below


def _bca(values: Array, statistic: Callable[[Array], Array], seed: int) -> Array:
    """Intervals of statistics, none of them constant, of the means of complete rows.

    What is resampled is the prompts' positions. A resample's means are then one product with the
    counts of its positions, for all rows at once: a hundred times faster than to let scipy gather
    rows × resamples × prompts values. `einsum` because a BLAS product depends, in the last bit, on
    the number of threads.
    """
    count = values.shape[1]

    def statistics(positions: Positions, axis: int) -> Array:
        draws = positions.reshape(-1, positions.shape[axis])
        cells = draws + count * np.arange(len(draws))[:, None]
        times = np.bincount(cells.ravel(), minlength=count * len(draws)).reshape(-1, count)
        means = np.einsum("rp,dp->rd", values, times.astype(float)) / draws.shape[1]
        # BCa asks how many resamples lie below the sample, so those equal to it must be so exactly.
        return statistic(means).round(DECIMALS).reshape(-1, *positions.shape[:-1])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (np.arange(count),),
            statistics,
            n_resamples=RESAMPLES,
            batch=500,
            vectorized=True,
            confidence_level=LEVEL,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    bounds = np.stack(found.confidence_interval, axis=1)
    undefined = np.isnan(bounds).any(axis=1)
    bounds[undefined] = np.quantile(found.bootstrap_distribution[undefined], TAILS, axis=1).T
    return bounds
