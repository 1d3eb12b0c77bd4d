"""Intervals in closed form: what they are by hand, what they never do, and how often they hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from alignlab.statistics.bootstrap import mean_intervals
from alignlab.statistics.intervals import (
    bounded_intervals,
    difference_intervals,
    rate_difference_intervals,
)

QUICK = settings(max_examples=60, deadline=None)
LIKERT = {
    "centred": (0.10, 0.20, 0.40, 0.20, 0.10),
    "two humps": (0.35, 0.10, 0.05, 0.10, 0.40),
    "low": (0.65, 0.20, 0.08, 0.05, 0.02),
    "high": (0.02, 0.03, 0.08, 0.12, 0.75),
}
SCORES = np.arange(1.0, 6.0)
REPLICATES = {24: 3000, 80: 2000, 800: 800}


def samples(elements, low=2, high=30):
    return st.integers(low, high).flatmap(lambda n: arrays(float, n, elements=elements))


LIKERT_SAMPLES = samples(st.integers(1, 5).map(float))
SIGNS = samples(st.sampled_from([-1.0, 0.0, 1.0]), low=1)


def held(bounds, truth):
    """Share of intervals with the truth, in percent; its standard error is 0.8 points at most."""
    low, high = bounds.T
    return 100 * ((low <= truth + 1e-9) & (truth - 1e-9 <= high)).mean()


@QUICK
@given(samples(st.sampled_from([0.0, 1.0]), low=1))
def test_of_zeros_and_ones_it_is_wilson_s(values):
    expected = proportion_confint(values.sum(), len(values), method="wilson")
    assert bounded_intervals(values[None])[0] == pytest.approx(expected, abs=1e-12)


@QUICK
@given(LIKERT_SAMPLES)
def test_holds_the_mean_within_the_scale_and_mirrors_with_it(values):
    (low, high), (mirrored_low, mirrored_high) = bounded_intervals(
        np.stack([values, 6 - values]), 1, 5
    )
    assert 1 <= low <= values.mean() + 1e-9
    assert values.mean() - 1e-9 <= high <= 5
    assert (mirrored_low, mirrored_high) == pytest.approx((6 - high, 6 - low))


@QUICK
@given(LIKERT_SAMPLES, st.floats(0.1, 100), st.floats(-50, 50))
def test_another_unit_of_the_scale_changes_nothing(values, factor, offset):
    there = bounded_intervals(offset + factor * values[None], offset + factor, offset + 5 * factor)
    assert there == pytest.approx(offset + factor * bounded_intervals(values[None], 1, 5), abs=1e-6)


def test_all_at_an_end_is_not_certainty_and_all_in_the_middle_has_no_width():
    ends = np.array([[5.0] * 24, [1.0] * 24, [3.0] * 24, [5.0] + [np.nan] * 23])
    best, worst, middle, one = bounded_intervals(ends, 1, 5)
    share = proportion_confint(24, 24, method="wilson")[0]
    assert best == pytest.approx([1 + 4 * share, 5])
    assert worst == pytest.approx([1, 5 - 4 * share])
    assert middle == pytest.approx([3, 3])
    assert 1 < one[0] < 2


def test_less_spread_is_a_shorter_interval_of_the_same_mean():
    thirds = np.array([[1.0, 3, 5] * 8, [2.0, 3, 4] * 8, [3.0, 3, 3] * 8])
    low, high = bounded_intervals(thirds, 1, 5).T
    assert (np.diff(high - low) < 0).all()
    assert bounded_intervals(thirds[:, :6], 1, 5)[0, 1] > high[0]


def test_every_row_has_its_own_scale_and_its_own_missing_values():
    rows = np.array(
        [[1.0, 2, 3, np.nan], [10.0, 20, 30, np.nan], [np.nan] * 4, [2.0] + [np.nan] * 3]
    )
    found = bounded_intervals(rows, np.array([1, 10, 1, 1]), np.array([5, 50, 5, 5]))
    assert found[1] == pytest.approx(10 * found[0])
    assert found[0] == pytest.approx(bounded_intervals(rows[:1, :3], 1, 5)[0])
    assert np.isnan(found[2:]).all()


@pytest.mark.parametrize("count", REPLICATES)
@pytest.mark.parametrize("shape", LIKERT)
def test_likert_means_are_held_93_to_97_percent_of_the_time(shape, count):
    shares = LIKERT[shape]
    values = np.random.default_rng(0).choice(SCORES, (REPLICATES[count], count), p=shares)
    assert 92 <= held(bounded_intervals(values, 1, 5), SCORES @ shares) <= 98


@pytest.mark.parametrize("count", REPLICATES)
@pytest.mark.parametrize("like", [0.0, 0.7])
def test_rates_are_held_also_where_prompts_have_two_turns(like, count):
    dice = np.random.default_rng(0)
    for rate in (0.1, 0.4, 0.9):
        first, other = dice.random((2, REPLICATES[count], count)) < rate
        assert 92 <= held(bounded_intervals(first.astype(float)), rate) <= 98
        second = np.where(dice.random((REPLICATES[count], count)) < like, first, other)
        assert 92 <= held(bounded_intervals((first + second * 1.0) / 2), rate) <= 98


@pytest.mark.parametrize("count", REPLICATES)
def test_paired_differences_are_held(count):
    dice = np.random.default_rng(0)
    shape = (REPLICATES[count], count)
    for ours, theirs in (("centred", "centred"), ("centred", "high"), ("two humps", "low")):
        drawn = [dice.choice(SCORES, shape, p=LIKERT[name]) for name in (ours, theirs)]
        values = np.where(dice.random(shape) < 0.4, 0, drawn[0] - drawn[1])
        truth = 0.6 * (SCORES @ LIKERT[ours] - SCORES @ LIKERT[theirs])
        assert 92 <= held(difference_intervals(values), truth) <= 98
    for won, lost in ((0.3, 0.3), (0.3, 0.1), (0.15, 0.02)):
        values = dice.choice([1.0, -1, 0], shape, p=[won, lost, 1 - won - lost])
        assert 92 <= held(rate_difference_intervals(values), won - lost) <= 98


@QUICK
@given(samples(st.integers(-4, 4).map(float)))
def test_differences_get_student_s_interval_whatever_is_missing(values):
    holed = np.insert(values, [0, len(values)], np.nan)
    found, swapped = difference_intervals(np.stack([holed, -holed]))
    assert swapped == pytest.approx(-found[::-1])
    if np.ptp(values):
        expected = stats.ttest_1samp(values, 0).confidence_interval()
        assert found == pytest.approx(tuple(expected))
    else:
        assert found == pytest.approx([values[0], values[0]])
    assert np.isnan(difference_intervals(np.array([[1.0, np.nan]]))).all()


@QUICK
@given(SIGNS)
def test_differences_of_rates_hold_the_difference_and_are_never_certain(values):
    (low, high), swapped = rate_difference_intervals(np.stack([values, -values]))
    assert -1 <= low <= values.mean() <= high <= 1
    assert high - low > 0
    assert swapped == pytest.approx([-high, -low])


def test_differences_of_rates_by_hand():
    # Bonett and Price: (9 + 1) / 32 won, (3 + 1) / 32 lost.
    values = np.array([[1.0] * 9 + [-1.0] * 3 + [0.0] * 18 + [np.nan]])
    won, lost = 10 / 32, 4 / 32
    half = 1.959964 * np.sqrt((won + lost - (won - lost) ** 2) / 32)
    expected = [won - lost - half, won - lost + half]
    assert rate_difference_intervals(values)[0] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(rate_difference_intervals(np.full((1, 3), np.nan))).all()


@pytest.mark.parametrize("binary", [True, False])
def test_prompts_that_repeat_one_another_say_no_more_than_one_of_them(binary):
    dice = np.random.default_rng(0)
    values = dice.integers(0, 2 if binary else 5, (20, 40)).astype(float)
    lost = values - np.roll(values, 1, axis=1)
    twice, clusters = np.repeat(values, 2, axis=1), np.repeat(np.arange(40), 2)
    for intervals_of, once in (
        (lambda v, c: bounded_intervals(v, 0, 1 if binary else 4, c), values),
        (lambda v, c: mean_intervals(v, 0, c), values),
        (difference_intervals, lost),
        (rate_difference_intervals, np.sign(lost)),
    ):
        alone = intervals_of(once, None)
        assert intervals_of(np.repeat(once, 2, axis=1), clusters) == pytest.approx(alone, abs=1e-9)
        assert intervals_of(once, np.arange(40)) == pytest.approx(alone, abs=1e-12)
    none = np.zeros_like(twice)
    assert bounded_intervals(none, clusters=clusters) == pytest.approx(
        bounded_intervals(none[:, :40])
    )


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_intervals_of_clusters_hold_the_truth(rate):
    """Three attacks on a question succeed or fail alike: as if independent, 80% hold it."""
    dice, clusters = np.random.default_rng(0), np.repeat(np.arange(40), 3)
    shape = (1000, 40)
    like = np.repeat(dice.random(shape) < rate, 3, axis=1)
    values = np.where(dice.random((1000, 120)) < 0.7, like, dice.random((1000, 120)) < rate) * 1.0
    assert held(bounded_intervals(values), rate) < 88
    assert 92.5 <= held(bounded_intervals(values, clusters=clusters), rate) <= 97.5
    signs = np.repeat(dice.choice([-1.0, 0, 1], shape, p=[rate / 2, 1 - rate, rate / 2]), 3, axis=1)
    assert held(rate_difference_intervals(signs), 0) < 85
    assert 92.5 <= held(rate_difference_intervals(signs, clusters), 0) <= 97.5
    assert 92.5 <= held(difference_intervals(signs, clusters), 0) <= 97.5
