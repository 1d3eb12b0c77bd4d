import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alignlab.statistics.bootstrap import mean_intervals, ratio_intervals

QUICK = settings(max_examples=30, deadline=None)
SCORES = st.integers(1, 10).map(float)


def samples(low=5, high=30):
    return st.integers(low, high).flatmap(lambda n: arrays(float, n, elements=SCORES))


@QUICK
@given(samples())
def test_contains_the_mean_and_stays_within_the_data(values):
    assume(np.ptp(values) > 0)
    low, high = mean_intervals(values[None], seed=0)[0]
    assert values.min() <= low <= values.mean() + 1e-9
    assert values.mean() - 1e-9 <= high <= values.max()


@QUICK
@given(samples(), st.integers(-5, 5))
def test_moves_with_the_data(values, shift):
    before, after = mean_intervals(np.stack([values, values + shift]), seed=0)
    assert after == pytest.approx(before + shift)


@QUICK
@given(samples())
def test_mirrors_with_the_data(values):
    (low, high), mirrored = mean_intervals(np.stack([values, -values]), seed=0)
    assert mirrored == pytest.approx([-high, -low], abs=1e-6)


def test_constant_data_has_an_interval_of_no_width_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = mean_intervals(np.array([[0.0] * 5, [0.3] * 5, [1, 1, 1, np.nan, 1]]), seed=0)
    assert found == pytest.approx(np.array([[0, 0], [0.3, 0.3], [1, 1]]))


def test_rounding_is_no_spread():
    values = (np.linspace(0, 1, 20) + 0.2) - np.linspace(0, 1, 20)
    assert np.ptp(values) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = mean_intervals(np.stack([values, 1e6 * values]), seed=0).T
    assert (low == high).all()


def test_under_two_values_there_is_no_interval():
    assert np.isnan(mean_intervals(np.array([[1.0, np.nan], [np.nan, np.nan]]), seed=0)).all()
    assert np.isnan(mean_intervals(np.array([[1.0]]), seed=0)).all()


def test_a_row_does_not_depend_on_the_others():
    generator = np.random.default_rng(1)
    values = generator.normal(size=(4, 20))
    values[1, 3] = np.nan
    together = mean_intervals(values, seed=7)
    alone = [mean_intervals(row[None], seed=7)[0] for row in values]
    assert (together == np.array(alone)).all()
    assert (together != mean_intervals(values, seed=8)).any()


def test_rounding_decides_nothing_where_resamples_tie_with_the_sample():
    # Resampled means of few whole numbers often equal the sample's; a ratio rounds otherwise.
    sums = np.random.default_rng(0).integers(1, 9, (20, 4)).astype(float)
    thirds = ratio_intervals(sums, np.full_like(sums, 3), seed=0)
    assert thirds == pytest.approx(mean_intervals(sums / 3, seed=0), abs=1e-9)
    assert thirds == pytest.approx(mean_intervals(sums, seed=0) / 3, abs=1e-9)


def test_covers_the_true_mean_as_often_as_it_says():
    # 300 skewed samples of 40: the share of intervals that hold the true mean has a standard
    # error of 1.3 points, and BCa at this size is known to fall a little short of 95%.
    values = np.random.default_rng(0).exponential(size=(300, 40))
    low, high = mean_intervals(values, seed=0).T
    covered = ((low <= 1) & (high >= 1)).mean()
    assert 0.90 <= covered <= 0.98
