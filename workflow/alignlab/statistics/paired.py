"""Paired tests of two arms on the same prompts, and the smallest difference they can detect.

`benchmarks/interval_coverage.py` measures how often each rejects what is true.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from alignlab.statistics.intervals import ROUNDING, Array, Integers

FLIPS = 9999
ALPHA, POWER = 0.05, 0.80

SIGN_FLIP, MCNEMAR = "sign-flip permutation", "mid-p McNemar"


def sign_flip(differences: Array, seed: int) -> Array:
    """Two-sided mid-p-values of the hypothesis that differences are symmetric about zero.

    Every prompt's difference keeps or loses its sign at random: all 2^n ways where there are at
    most 9,999 of them, else as many random ones (Fisher 1935, The Design of Experiments, §21).
    Sums of a few scores have few values, so flips often tie with what was found; ties count half
    (Lancaster 1961, "Significance tests in discrete distributions"). Counted in full, equal arms of
    24 Likert scores would differ significantly 1-4% of the time, not 5%.

    Args:
        differences: shape (comparisons, prompts); NaN where an arm has no value. Of clusters of
            prompts, the sum of each: its prompts keep or lose their signs together.
        seed: of the random signs, which all comparisons share: none depends on the others.

    Returns:
        Shape (comparisons,); 1 where the arms never differ, NaN where there is no difference at
        all.
    """
    unknown = np.isnan(differences).all(axis=1)
    if differences.shape[1] < 2:  # scipy asks for two; one sign alone says nothing
        return np.where(unknown, np.nan, 1.0)

    def sums(signs: Array, axis: int) -> Array:
        return np.einsum("...p,rp->...r", signs, present)

    # scipy flips the signs of the one sample it is given. Given ones, it yields the flips
    # themselves, and one product applies them to every comparison; a missing difference adds zero.
    present = np.nan_to_num(differences)
    result = stats.permutation_test(
        (np.ones(differences.shape[1]),),
        sums,
        permutation_type="samples",
        vectorized=True,
        n_resamples=FLIPS,
        batch=500,
        rng=np.random.default_rng(seed),
    )
    largest = np.abs(present).sum(axis=1)
    beyond = np.abs(result.null_distribution) - np.abs(result.statistic)
    ties = np.abs(beyond) <= ROUNDING * largest
    # All ways have the sample among them; to random ones it is added.
    every = len(beyond) == 2 ** differences.shape[1]
    counted = (beyond > 0).sum(axis=0, where=~ties) + (ties.sum(axis=0) + (not every)) / 2
    p_values = counted / (len(beyond) + (not every))
    return np.where(unknown, np.nan, np.where(largest > 0, p_values, 1.0))


def mcnemar(differences: Array) -> Array:
    """Two-sided mid-p-values for 0/1 values: is a win as likely as a loss where the arms differ?

    McNemar (1947) with the mid-p-value, as Fagerland, Lydersen and Laake recommend (2013, "The
    McNemar test for binary matched-pairs data: mid-p and asymptotic are better than exact
    conditional"): `sign_flip` with every way counted. The exact form rejects equal arms of 24
    prompts 1-2% of the time, and in up to 19% of draws says no where the interval excludes zero.
    Shapes as in `sign_flip`; 1 where the arms never differ. A sum of thirds, over the turns of a
    cluster, may miss zero by rounding: it is a tie.
    """
    wins, losses = ((sign * differences > ROUNDING).sum(axis=1) for sign in (1, -1))
    found = _mid_p(np.minimum(wins, losses), wins + losses)
    return np.where(np.isnan(differences).all(axis=1), np.nan, found)


def _mid_p(fewer: Integers, differing: Integers) -> Array:
    """Of so few wins, or losses, among the pairs that differ: what is as far apart counts half."""
    tie = stats.binom.pmf(fewer, differing, 0.5)
    even = (2 * fewer == differing) & (differing > 0)
    return np.asarray(2 * stats.binom.cdf(fewer, differing, 0.5) - np.where(even, 1.5, 1) * tie)


def holm(p_values: Array) -> Array:
    """Holm's (1979) adjustment of a family of p-values, shape (family,); NaN is no member."""
    adjusted = np.full_like(p_values, np.nan)
    members = ~np.isnan(p_values)
    if members.any():
        adjusted[members] = multipletests(p_values[members], alpha=ALPHA, method="holm")[1]
    return adjusted


def minimum_detectable_effect(count: int, deviation: float) -> float:
    """Smallest mean difference that a paired t-test finds with 80% power at alpha 0.05.

    Args:
        count: prompts with a difference.
        deviation: standard deviation of the differences, in the metric's unit.

    Returns:
        In the metric's unit; NaN where the deviation is zero or unknown, so nothing says how much
        differences would vary.
    """
    return _detectable(count) * deviation if count > 1 and deviation > 0 else np.nan


@cache
def _detectable(count: int) -> float:
    """The same in standard deviations."""
    power = TTestPower()
    found = power.solve_power(nobs=count, alpha=ALPHA, power=POWER, alternative="two-sided")
    # For some counts its root finder gives an array of one number, or the root below zero.
    return abs(float(np.squeeze(found)))


@cache
def minimum_detectable_rate(count: int, differing: int) -> float:
    """Smallest difference of two paired rates that `mcnemar` finds with 80% power at alpha 0.05.

    The test sees only prompts where the arms differ. Their share is taken to be what was found or,
    where a difference needs more, the difference itself: then all of them go one way.

    Args:
        count: prompts with a difference, zero included.
        differing: those where it is not zero.

    Returns:
        Between 0 and 1; NaN where no result of so few prompts would be significant.
    """

    def surplus(difference: float) -> float:
        return _power(count, max(differing / count, difference), difference) - POWER

    return optimize.brentq(surplus, 0, 1) if count and surplus(1) > 0 else np.nan


def _power(count: int, share: float, difference: float) -> float:
    """Of `mcnemar`, if a share of all prompts differs, and wins exceed losses by a difference."""
    pairs = np.arange(count + 1)
    won = (1 + difference / share) / 2 if share else 0.5
    needed = stats.binom.isf(ALPHA / 2, pairs, 0.5).astype(int) + 1
    # What the exact test needs; of the mid-p-value one win fewer may do.
    needed -= _mid_p(pairs - needed + 1, pairs) < ALPHA
    found = stats.binom.sf(needed - 1, pairs, won) + stats.binom.cdf(pairs - needed, pairs, won)
    return float(stats.binom.pmf(pairs, count, share) @ found)
