"""Intervals in closed form, over prompts: of means on a known scale, and of paired differences.

Also the slices and rounding that all statistics share. Chosen by simulation
(`benchmarks/interval_coverage.py`): with 24 prompts, BCa intervals of Likert means cover the truth
84-96% of the time and those of rates 90-98%, as few values near an end of the scale, or none, say
little of the spread; Student's t is no better there. What is used here covers it 94-97%, and for
rates of 0.1 and 0.9, where no interval can be between 91% and 97%, 97%.

Of paired differences Student's t covers 94-96% where gains and losses are alike. Where one side has
few and large ones it needs prompts: with wins of 1 as losses of 4, three of four prompts the same,
it covers 78% with 24, 93% with 80 and 95% with 800, and the test of symmetry rejects 18%, 7% and 5%
of equal means. BCa and Hall's (1992) correction do no better there (73% with 24), and a studentised
flip is the same test, since no flip changes the sum of squares. What was not seen has no method.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.sparse import csr_array
from statsmodels.stats.proportion import proportion_confint

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]
Integers = npt.NDArray[np.integer[Any]]
ALL = "all"
ROUNDING = 1e-12
LEVEL = 0.95
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


def slices(datasets: Names, categories: Names) -> Iterator[tuple[str, str, Mask]]:
    """Yield (dataset, category, mask over prompts) for every slice that is worth a row.

    All prompts; each category where there are several; each dataset where there are several, and
    its categories where it mixes them.

    Args:
        datasets: shape (prompts,): the dataset of each prompt.
        categories: shape (prompts,): the category of each prompt.
    """
    names = np.unique(datasets)
    masks = {ALL: np.ones(len(datasets), dtype=bool)}
    masks |= {str(name): datasets == name for name in names} if len(names) > 1 else {}
    for dataset, mask in masks.items():
        yield dataset, ALL, mask
        kinds = np.unique(categories[mask])
        for kind in kinds if len(kinds) > 1 else ():
            yield dataset, str(kind), mask & (categories == kind)


def over_turns(cells: Array) -> Array:
    """Mean of the last axis, the turns, over those with a value; NaN where none has one.

    Turns of a conversation are not independent, so the prompt is the unit of every interval and
    test.
    """
    known = ~np.isnan(cells)
    with np.errstate(invalid="ignore"):
        return np.where(known, cells, 0).sum(axis=-1) / known.sum(axis=-1)


def by_cluster(values: Array, clusters: Integers | None) -> tuple[Array, Array]:
    """Sum and number of the values of each cluster; a NaN is a missing value.

    Prompts that repeat one question, or attack it, are no independent witnesses: what is drawn, or
    flipped, or counted as a degree of freedom is their cluster. Means stay means over prompts.

    Args:
        values: shape (rows, prompts).
        clusters: shape (prompts,): the cluster of each; without any, each is its own.

    Returns:
        Sums and numbers, each shape (rows, clusters), clusters in ascending order.
    """
    known = ~np.isnan(values)
    found = np.where(known, values, 0), known.astype(float)
    if clusters is None:
        return found
    of_prompt = np.unique(clusters, return_inverse=True)[1]
    shape = (len(of_prompt), of_prompt.max(initial=-1) + 1)
    members = csr_array((np.ones(shape[0]), (np.arange(shape[0]), of_prompt)), shape=shape)
    # In C order, else the order of a sum over clusters would depend on the number of rows.
    sums, counts = (np.ascontiguousarray(values @ members) for values in found)
    return sums, counts


def number(value: float) -> float | None:
    """NaN is how numpy says missing; a table says null."""
    return None if np.isnan(value) else float(value)


def estimate(value: float, low: float, high: float) -> dict[str, Any]:
    """A value and its interval as columns of a table."""
    return {"value": number(value), "ci_low": number(low), "ci_high": number(high)}


def is_binary(values: Array) -> Mask:
    """Where a value is 0, 1 or missing; same shape."""
    return np.isin(values, (0, 1)) | np.isnan(values)


def varies(values: Array) -> Mask:
    """Whether the values along the last axis, none missing, differ by more than rounding does."""
    return np.ptp(values, axis=-1) > ROUNDING * np.maximum(1, np.abs(values.mean(axis=-1)))


def bounded_intervals(
    values: Array,
    low: npt.ArrayLike = 0.0,
    high: npt.ArrayLike = 1.0,
    clusters: Integers | None = None,
) -> Array:
    """95% intervals of the mean of each row, on a scale with ends; a NaN is a missing value.

    Wilson (1927, "Probable inference, the law of succession, and statistical inference") at the
    effective sample size, as for rates of clustered samples (Korn and Graubard 1998, "Confidence
    intervals for proportions with small expected number of positive counts"): rows of zeros and
    ones have the largest variance that their mean allows, and count in full; others count for more,
    as their variance is smaller, and are given Student's quantile. So none or all is not certainty.

    Args:
        values: shape (rows, prompts).
        low: worst end of the scale, one for all or one a row.
        high: best end.
        clusters: as in `by_cluster`. Where one has several values, variance and degrees of freedom
            are those of clusters; rows of zeros and ones that only repeat one value in each, as
            often in all, and rows of none or all, count as many as there are clusters.

    Returns:
        Shape (rows, 2): low and high, within the scale. Of one value there is an interval only if
        it is an end of the scale. Rows of any other constant have an interval of no width.
    """
    low, width = np.asarray(low, float), np.asarray(high, float) - np.asarray(low, float)
    scaled = ((values.T - low) / width).T.clip(0, 1)
    count, groups, mean, variance = _moments(scaled, clusters)
    binary, extreme = is_binary(scaled).all(axis=1), (mean == 0) | (mean == 1)
    most = binary & (extreme | _repeats(scaled, clusters))
    with np.errstate(invalid="ignore", divide="ignore"):
        size = mean * (1 - mean) / np.maximum(variance, ROUNDING**2 / (groups - 1) / groups)
        size = np.where(most, groups, np.where(binary, np.minimum(size, count), size))
        quantile = np.where(most, stats.norm.ppf(TAILS[1]), stats.t.ppf(TAILS[1], groups - 1))
        found = proportion_confint(
            mean * size, size, alpha=2 * stats.norm.sf(quantile), method="wilson"
        )
    # Rounding may leave the mean itself, at an end of the scale, a bit outside.
    bounds = np.minimum(found[0], mean).clip(0, 1), np.maximum(found[1], mean).clip(0, 1)
    return np.stack([low + width * bound for bound in bounds], axis=1)


def widened(bounds: Array, shares: Array, counts: npt.NDArray[np.intp]) -> Array:
    """Bounds with Wilson's (1927) where a share is 0 or 1: none or all is not certainty.

    Args:
        bounds: shape (rows, 2); changed in place.
        shares: shape (rows,).
        counts: shape (rows,): what a share is of; 0 leaves a row as it is.
    """
    extreme = (counts > 0) & ((shares == 0) | (shares == 1))
    share, count = shares[extreme], counts[extreme]
    low, high = proportion_confint(share * count, count, alpha=1 - LEVEL, method="wilson")
    # Rounding may leave the share itself, the end of the scale, a bit outside.
    bounds[extreme, 0] = np.minimum(low, share).clip(0, 1)
    bounds[extreme, 1] = np.maximum(high, share).clip(0, 1)
    return bounds


def difference_intervals(differences: Array, clusters: Integers | None = None) -> Array:
    """95% intervals of the mean of paired differences: Student's t.

    Differences are nearer to symmetric than what they are differences of, and BCa intervals of few
    prompts are too narrow there.

    Args:
        differences: shape (rows, prompts); a NaN is a missing value.
        clusters: as in `by_cluster`; variance and degrees of freedom are those of clusters.

    Returns:
        Shape (rows, 2). Under two clusters there is none: NaN. Of a constant it has no width.
    """
    _, groups, mean, variance = _moments(differences, clusters)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = stats.t.ppf(TAILS[1], groups - 1) * np.sqrt(variance)
    return np.stack([mean - half, mean + half], axis=1)


def standard_errors(values: Array, clusters: Integers | None = None) -> Array:
    """Standard error of the mean of each row, over clusters, shape (rows,); NaN under two."""
    return np.sqrt(_moments(values, clusters)[3])


def rate_difference_intervals(differences: Array, clusters: Integers | None = None) -> Array:
    """95% intervals of the difference of two paired rates, within −1 and 1.

    Bonett and Price (2012, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data"): one prompt more is won and one more lost, so arms that never
    differ are not known to be equal.

    Args:
        differences: shape (rows, prompts): 1 won, −1 lost, 0 the same; a NaN is a missing value.
        clusters: as in `by_cluster`. Prompts then count for as many as would be as variable if each
            were its own cluster (Rao and Scott 1992, "A simple method for the analysis of clustered
            binary data"), and for no more than there are; those that repeat one another
            as often in every cluster, for the clusters.

    Returns:
        Shape (rows, 2); NaN where there is no value.
    """
    known, groups, _, variance = _moments(differences, clusters)
    with np.errstate(invalid="ignore", divide="ignore"):
        alone = _moments(differences, None)[3] * (known - 1) / known
        between = variance * (groups - 1) / groups
        effect = np.where(variance > 0, between / alone, known / groups).clip(1)
    count = known / effect + 2
    won, lost = ((differences == sign).sum(axis=1) / effect + 1 for sign in (1, -1))
    mean = (won - lost) / count
    half = stats.norm.ppf(TAILS[1]) * np.sqrt(((won + lost) / count - mean**2) / count)
    bounds = np.stack([mean - half, mean + half], axis=1).clip(-1, 1)
    return np.where(count[:, None] > 2, bounds, np.nan)


def _repeats(values: Array, clusters: Integers | None) -> Mask:
    """Rows of zeros and ones whose clusters repeat one value each, all of them as often."""
    sums, members = by_cluster(values, clusters)
    alike = (sums == 0) | (sums == members)
    as_often = (members == 0) | (members == members.max(axis=1, initial=0, keepdims=True))
    return np.asarray((alike & as_often).all(axis=1))


def _moments(values: Array, clusters: Integers | None) -> tuple[Array, Array, Array, Array]:
    """Of each row: how many values and clusters, their mean and its variance; rounding is none.

    The variance is that of a ratio of sums over clusters (Cochran 1977, Sampling Techniques, §6.4),
    which is s²/n where each value is its own cluster.
    """
    known = ~np.isnan(values)
    count = known.sum(axis=1).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0).sum(axis=1) / count
        distance, members = by_cluster(values - mean[:, None], clusters)
        groups = (members > 0).sum(axis=1)
        slack = ROUNDING * np.maximum(1, np.abs(mean)) * members.max(axis=1, initial=1)
        spread = np.abs(distance).max(axis=1, initial=0) > slack
        variance = (distance**2).sum(axis=1) * groups / (groups - 1) / count**2
    return count, groups, mean, np.where(spread, variance, np.where(groups > 1, 0.0, np.nan))
