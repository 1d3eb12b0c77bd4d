"""Agreement of two raters: published and independent values of the same measures."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from alignlab.judging.agreement import MEASURES, alpha, kappa, spearman

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section A: Meg and Owen.
MEG = np.array([0, 1, 0, 0, 0, 0, 0, 0, 1, 0.0])
OWEN = np.array([1, 1, 1, 0, 0, 1, 0, 0, 0, 0.0])
RATINGS = arrays(float, st.tuples(st.just(2), st.integers(4, 40)), elements=st.integers(1, 5))


QUICK = settings(max_examples=30, deadline=None)


def alpha_by_coincidences(ours, theirs):
    """The definition, from the matrix of coincidences."""
    levels = np.unique([ours, theirs])
    coincidences = np.zeros((len(levels), len(levels)))
    for a, b in zip(np.searchsorted(levels, ours), np.searchsorted(levels, theirs), strict=True):
        coincidences[a, b] += 1
        coincidences[b, a] += 1
    counts = coincidences.sum(axis=0)
    distance = np.zeros_like(coincidences)
    for c in range(len(levels)):
        for k in range(c, len(levels)):
            between = counts[c : k + 1].sum() - (counts[c] + counts[k]) / 2
            distance[c, k] = distance[k, c] = between**2
    expected = (np.outer(counts, counts) * distance).sum() / (counts.sum() - 1)
    return 1 - (coincidences * distance).sum() / expected


def test_alpha_of_the_published_example():
    assert alpha(MEG, OWEN) == pytest.approx(0.095, abs=5e-4)


@QUICK
@given(RATINGS)
def test_alpha_is_krippendorff_s_ordinal_one(ratings):
    assume(np.ptp(ratings) > 0)
    assert alpha(*ratings) == pytest.approx(alpha_by_coincidences(*ratings))


@QUICK
@given(RATINGS)
def test_kappa_is_the_familiar_one_on_whole_scores(ratings):
    assume(np.ptp(ratings) > 0)
    ours, theirs = ratings.astype(int)
    expected = cohen_kappa_score(ours, theirs, labels=range(1, 6), weights="quadratic")
    assert kappa(*ratings) == pytest.approx(expected)


@QUICK
@given(RATINGS)
def test_spearman_is_scipy_s(ratings):
    assume((np.ptp(ratings, axis=1) > 0).all())
    assert spearman(*ratings) == pytest.approx(stats.spearmanr(*ratings).statistic)


@pytest.mark.parametrize("name", MEASURES)
def test_ends_order_and_what_cannot_be_said(name):
    measure = MEASURES[name]
    scores = np.array([1.0, 2.5, 2.5, 4, 5])
    assert measure(scores, scores) == pytest.approx(1)
    assert measure(scores, 6 - scores) < -0.5
    assert measure(scores, scores[::-1]) == pytest.approx(measure(scores[::-1], scores))
    assert np.isnan(measure(np.full(5, 3.0), np.full(5, 3.0)))


def test_ranks_do_not_see_a_harsher_judge_and_kappa_does():
    scores = np.array([2.0, 3, 4, 5, 5, 2])
    assert spearman(scores, scores - 1) == pytest.approx(1)
    assert kappa(scores, scores - 1) < 0.8
