"""Bootstrap over prompts of statistics that are no mean: medians, areas, curves over positions.

Used by `shift.statistics.summarise` and `judging.qualification`.

A resample is how often it draws each
prompt, so one product with these counts gives the sums, or the histogram, of every resample.
Intervals are percentile.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from alignlab.statistics.arrays import Array, Mask
from alignlab.statistics.intervals import TAILS

RESAMPLES = 1000
# Sums of multiples of 2⁻²⁴ below 2²⁹ are exact in float64, so no order of summation matters: not
# that of the rows, and not that of BLAS, which depends on the number of threads.
GRAIN = 2.0**-24
SCORE_GROUPS = 1000

Integers = npt.NDArray[np.integer]


def draws(prompts: int, seed: int) -> Array:
    """How often each resample draws each prompt.

    Returns:
        Shape (1 + RESAMPLES, prompts); the first row, all ones, is the sample itself.
    """
    resampled = np.random.default_rng(seed).multinomial(
        prompts, np.full(prompts, 1 / prompts), size=RESAMPLES
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
