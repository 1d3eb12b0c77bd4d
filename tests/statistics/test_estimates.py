"""Comparisons of arms: prompts that repeat one another are one witness."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alignlab.statistics import estimates, paired

SIZES = st.integers(2, 40)


@settings(max_examples=40, deadline=None)
@given(
    SIZES.flatmap(lambda n: arrays(float, (2, n), elements=st.integers(0, 1))), st.integers(2, 4)
)
def test_rates_of_alike_clusters_compare_as_one_prompt_of_each(values, often):
    once = compared(values)
    clusters = np.repeat(np.arange(values.shape[1]), often)
    repeated = compared(np.repeat(values, often, axis=1), clusters)
    assert repeated["clusters"] == once["n"]
    for column in ("mean_difference", "ci_low", "ci_high", "p_value", "minimum_detectable_effect"):
        assert repeated[column] == pytest.approx(once[column], abs=1e-9)
    assert repeated["test"] == once["test"] == paired.MCNEMAR


def test_clusters_that_differ_by_unequal_sums_are_flipped():
    values = np.array([[1.0] * 6, [0.0] * 6])
    found = compared(values, np.array([0, 0, 0, 1, 1, 2]))
    assert (found["test"], found["p_value"]) == (paired.SIGN_FLIP, 1 / 8)


def compared(values, clusters=None):
    """The first row of values against the second."""
    cells = values[:, None, None, :, None]
    (found,) = estimates.compare(cells[0], cells[1], 0, clusters)
    return found
