"""Bootstrap over prompts: BCa of means without a scale and of ratios, percentile of all else.

`intervals` has the others. Where prompts are in clusters, as in `intervals.by_cluster`, a resample
draws those. Of medians, areas and curves over positions a resample is how often it draws each
prompt, or cluster, so one product with these counts gives the sums, or the histogram, of all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.sparse import csr_array

from alignlab.statistics.intervals import (
    LEVEL,
    TAILS,
    Array,
    Integers,
    Mask,
    by_cluster,
    varies,
    widened,
)

RESAMPLES = 2000
DRAWS = 1000
DECIMALS = 12

Positions = npt.NDArray[np.intp]

# Sums of multiples of 2⁻²⁴ below 2²⁹ are exact in float64, so no order of summation matters: not
# that of the rows, and not that of BLAS, which depends on the number of threads.
GRAIN = 2.0**-24
SCORE_GROUPS = 1000


def mean_intervals(values: Array, seed: int, clusters: Integers | None = None) -> Array:
    """95% intervals of the mean of each row; a NaN is a missing value.

    BCa (Efron 1987, "Better bootstrap confidence intervals"), percentile where BCa is undefined.
    Rows that are constant, to rounding, get a zero-width interval. Under two values there is no
    interval: NaN.

    Args:
        values: shape (rows, prompts).
        seed: rows with values for the same prompts share their resamples, so a row's interval does
            not depend on which other rows there are.
        clusters: as in `intervals.by_cluster`; what is resampled is clusters.

    Returns:
        Shape (rows, 2): low and high, in the unit of the values.
    """
    return ratio_intervals(*by_cluster(values, clusters), seed)


def ratio_intervals(
    numerators: Array, denominators: Array, seed: int, clusters: Integers | None = None
) -> Array:
    """95% intervals of sum(numerators) / sum(denominators) of each row, resampling clusters.

    All tokens of a cluster's prompts move together. Method, seed and edge cases as in
    `mean_intervals`; a prompt whose denominator is 0 is a missing value.

    Args:
        numerators: shape (rows, prompts), each the sum over a prompt's tokens.
        denominators: the same shape, 0 or more.
        seed: as in `mean_intervals`.
        clusters: as in `intervals.by_cluster`.

    Returns:
        Shape (rows, 2): low and high.
    """
    numerators, denominators = (
        by_cluster(sums, clusters)[0] for sums in (numerators, denominators)
    )
    bounds = np.full((len(numerators), 2), np.nan)
    for rows, prompts in _by_presence(denominators > 0):
        above, below = (sums[np.ix_(rows, prompts)] for sums in (numerators, denominators))
        varied = varies(above / below)
        bounds[rows] = (above.sum(axis=1) / below.sum(axis=1))[:, None]
        if varied.any():
            stacked = np.concatenate([above[varied], below[varied]])
            bounds[rows[varied]] = _bca(stacked, _ratios, seed)
    return bounds


def ratio_share_intervals(
    numerators: Array, denominators: Array, seed: int, clusters: Integers | None = None
) -> Array:
    """`ratio_intervals` of shares, with Wilson's where a share is 0 or 1.

    His count is that of clusters, not of tokens or prompts, which are not independent; under two
    there is no interval.
    """
    counts = (by_cluster(denominators, clusters)[0] > 0).sum(axis=1)
    above, below = numerators.sum(axis=1), denominators.sum(axis=1)
    shares = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    bounds = ratio_intervals(numerators, denominators, seed, clusters)
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


def draws(prompts: int, seed: int) -> Array:
    """How often each resample draws each prompt.

    Returns:
        Shape (1 + DRAWS, prompts); the first row, all ones, is the sample itself.
    """
    resampled = np.random.default_rng(seed).multinomial(
        prompts, np.full(prompts, 1 / prompts), size=DRAWS
    )
    # Transposed in memory, as a sparse product takes it; it would be copied for every position.
    return np.asfortranarray(np.vstack([np.ones(prompts), resampled]))


def bands(found: Array, several: Mask | bool) -> tuple[Array, Array, Array]:
    """Values of the sample, and the bounds of their 95% intervals.

    Args:
        found: shape (resamples, …), the sample first; NaN where a resample has no value, which is
            then left out.
        several: whether two prompts or more are behind each value; else there is no interval: NaN.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        low, high = np.nanquantile(found[1:], TAILS, axis=0)
    return found[0], np.where(several, low, np.nan), np.where(several, high, np.nan)


def sums(times: Array, prompts: Integers, places: Integers, values: Array) -> Array:
    """Sum of `values` at each place, for every resample, exactly.

    Args:
        times: shape (resamples, prompts), as `draws` gives it.
        prompts: shape (tokens,): the prompt of each token.
        places: shape (tokens,): where each is counted, such as its position.
        values: shape (tokens,).

    Returns:
        Shape (resamples, places).
    """
    shape = (times.shape[1], int(places.max()) + 1)
    rounded = np.round(values / GRAIN) * GRAIN
    cells = np.bincount(prompts * shape[1] + places, rounded, minlength=shape[0] * shape[1])
    return times @ cells.reshape(shape)


def medians(times: Array, prompts: Integers, values: Integers) -> Array:
    """The lower median of every resample: the least value that half of its tokens do not exceed.

    Args:
        times: shape (resamples, prompts).
        prompts: shape (tokens,): the prompt of each token.
        values: shape (tokens,).

    Returns:
        Shape (resamples,); NaN where a resample has no token.
    """
    distinct, place = np.unique(values, return_inverse=True)
    shape = (len(distinct), times.shape[1])
    counts = csr_array((np.ones(len(values)), (place, prompts)), shape=shape) @ times.T
    reached = counts.cumsum(axis=0)
    middle = (2 * reached >= reached[-1]).argmax(axis=0)
    return np.where(reached[-1] > 0, distinct[middle], np.nan)


def areas(times: Array, prompts: Integers, scores: Array, events: Array) -> Array:
    """Area under the ROC curve of every resample: how often an event outscores a non-event.

    Scores are put into up to 1,000 groups of about equal counts, and a tie counts half: exact for
    up to 1,000 tokens, and off by less than 0.0005 beyond.

    Args:
        times: shape (resamples, prompts).
        prompts: shape (tokens,): the prompt of each token.
        scores: shape (tokens,): higher for what should be an event.
        events: shape (tokens,): 1 or 0.

    Returns:
        Shape (resamples,); NaN where a resample has no event, or nothing else.
    """
    step = -(-len(scores) // SCORE_GROUPS)
    groups = np.searchsorted(np.unique(np.sort(scores)[::step]), scores, side="right") - 1
    positive = sums(times, prompts, groups, events)
    negative = sums(times, prompts, groups, 1 - events)
    below = negative.cumsum(axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return (positive * below).sum(axis=1) / pairs
