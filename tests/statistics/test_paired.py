from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from alignlab.statistics import paired
from alignlab.statistics.intervals import rate_difference_intervals

QUICK = settings(max_examples=25, deadline=None)
FEW = arrays(float, st.integers(1, 8), elements=st.integers(-3, 3).map(float))


@QUICK
@given(FEW)
def test_sign_flip_is_exact_for_few_prompts_and_ties_count_half(differences):
    sums = np.array([np.dot(s, differences) for s in product([-1, 1], repeat=len(differences))])
    found = abs(differences.sum())
    by_hand = (abs(sums) > found).mean() + (abs(sums) == found).mean() / 2
    one_way = len(differences) == 1 or not differences.any()
    expected = 1 if one_way else by_hand
    assert paired.sign_flip(differences[None], seed=0)[0] == pytest.approx(expected)


@QUICK
@given(arrays(float, st.integers(20, 40), elements=st.integers(-3, 3).map(float)))
def test_swapping_the_arms_keeps_the_p_value(differences):
    here, there = paired.sign_flip(np.stack([differences, -differences]), seed=0)
    assert here == pytest.approx(there)
    here, there = paired.mcnemar(np.sign(np.stack([differences, -differences])))
    assert here == there


@QUICK
@given(arrays(float, st.integers(2, 12), elements=st.integers(-1, 1).map(float)))
def test_mcnemar_is_sign_flip_with_every_way_counted(differences):
    expected = paired.sign_flip(differences[None], seed=0)
    assert paired.mcnemar(differences[None]) == pytest.approx(expected)


def test_thirds_that_add_up_to_nothing_are_a_tie():
    """Three turns of one prompt and three of another, in a cluster: 2/3 − 1/2 and 1/3 − 1/2."""
    surplus = np.array([[1.0, 1, 1, 1, 1, (2 / 3 - 0.5) + (1 / 3 - 0.5)]])
    assert surplus[0, -1] != 0
    for sign in (1, -1):
        assert paired.mcnemar(sign * surplus) == pytest.approx(0.5**5)


def test_missing_differences_do_not_count():
    full = np.array([[1.0, 1, 1, 1, 1, -1]])
    holed = np.array([[1.0, np.nan, 1, 1, 1, 1, np.nan, -1]])
    for test in (paired.mcnemar, lambda values: paired.sign_flip(values, seed=0)):
        assert test(holed) == pytest.approx(test(full))
        assert np.isnan(test(np.full((1, 3), np.nan))).all()


@pytest.mark.parametrize("count", [24, 80])
def test_equal_arms_are_told_apart_as_often_as_alpha_says(count):
    # Of 1,500 comparisons 5%, give or take 0.6 points of standard error: 4-6% and two of these.
    dice = np.random.default_rng(0)
    shares = (0.05, 0.15, 0.30, 0.35, 0.15)
    ours, theirs = dice.choice(5, (2, 1500, count), p=shares).astype(float)
    alarms = (paired.sign_flip(ours - theirs, seed=0) < paired.ALPHA).mean()
    assert 0.028 <= alarms <= 0.072


@pytest.mark.parametrize(("won", "lost"), [(0.3, 0.3), (0.15, 0.02), (0.1, 0.0), (0.3, 0.1)])
def test_an_interval_without_zero_and_mcnemar_agree(won, lost):
    """The exact form says no, in up to 19% of these draws, where the interval excludes zero."""
    dice = np.random.default_rng(0)
    for count in (24, 48, 80):
        chances = [lost, 1 - won - lost, won]
        differences = dice.choice([-1.0, 0, 1], (4000, count), p=chances)
        excluded = np.prod(rate_difference_intervals(differences), axis=1) > 0
        p_values = paired.mcnemar(differences)
        assert (excluded & (p_values >= paired.ALPHA)).mean() <= 0.015
        if won == lost:
            assert 0.03 <= (p_values < paired.ALPHA).mean() <= 0.055


def test_holm_by_hand():
    adjusted = paired.holm(np.array([0.01, np.nan, 0.04, 0.03]))
    assert adjusted == pytest.approx([0.03, np.nan, 0.06, 0.06], nan_ok=True)
    assert np.isnan(paired.holm(np.array([np.nan]))).all()


def test_minimum_detectable_effect_is_found_with_the_power_it_states():
    effect = paired.minimum_detectable_effect(50, deviation=2.0)
    assert effect == pytest.approx(0.81, abs=0.01)
    assert paired.minimum_detectable_effect(200, 2.0) < effect / 1.9
    for count, deviation in ((1, 1.0), (10, 0.0)):
        assert np.isnan(paired.minimum_detectable_effect(count, deviation))
    assert paired.minimum_detectable_effect(2, 1.0) > paired.minimum_detectable_effect(3, 1.0) > 0


@pytest.mark.parametrize("differing", [0, 6, 20])
def test_minimum_detectable_rate_is_found_with_the_power_it_states(differing):
    rate = paired.minimum_detectable_rate(48, differing)
    share = max(rate, differing / 48)
    chances = [(share - rate) / 2, 1 - share, (share + rate) / 2]
    differences = np.random.default_rng(0).choice([-1.0, 0, 1], (4000, 48), p=chances)
    found = (paired.mcnemar(differences) < paired.ALPHA).mean()
    assert found == pytest.approx(paired.POWER, abs=0.02)


def test_five_prompts_must_differ_one_way_before_rates_are_told_apart():
    assert np.isnan([paired.minimum_detectable_rate(count, 0) for count in range(5)]).all()
    rate = paired.minimum_detectable_rate(16, 1)
    assert binom.sf(4, 16, rate) == pytest.approx(paired.POWER)
    assert rate == pytest.approx(0.3845, abs=0.001)


def test_every_count_of_prompts_detects_something_and_more_detect_less():
    """statsmodels gives an array for 87 prompts, and a negative effect for 73."""
    found = [paired.minimum_detectable_effect(count, 1.0) for count in range(2, 130)]
    assert all(more < fewer for fewer, more in pairwise(found))
    assert found[-1] > 0
