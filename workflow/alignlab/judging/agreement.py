"""How far two raters agree: rank correlation, quadratic-weighted kappa and Krippendorff's alpha.

    python -m pytest -n0 tests/statistics/test_agreement.py

Used by `alignlab.judging.qualification`. Scores of a local judge are expected values, so none of
these may need categories: each is written for numbers, and is the familiar one for whole scores.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from alignlab.statistics.arrays import Array


def spearman(ours: Array, theirs: Array) -> float:
    """Spearman's rank correlation of two raters, each shape (answers,); NaN if one is constant."""
    ranks = np.stack([stats.rankdata(ours), stats.rankdata(theirs)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    return _ratio(centred[0] @ centred[1], np.sqrt((centred**2).sum(axis=1).prod()))


def kappa(ours: Array, theirs: Array) -> float:
    """Cohen's kappa with quadratic weights, for equally spaced scores; NaN if all are the same.

    The mean squared distance of the pairs, over that of all ours with all theirs (Fleiss and Cohen
    1973, "The equivalence of weighted kappa and the intraclass correlation coefficient").
    """
    by_chance = ours.var() + theirs.var() + (ours.mean() - theirs.mean()) ** 2
    return 1 - _ratio(((ours - theirs) ** 2).mean(), by_chance)


def alpha(ours: Array, theirs: Array) -> float:
    """Krippendorff's alpha of ordinal data of two raters, none missing; NaN if all are the same.

    His ordinal distance, the count of values between two ranks with half of those at each, is the
    distance of their mid-ranks among all values (Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability"), so alpha is the interval one of these ranks.
    """
    ranks = stats.rankdata(np.concatenate([ours, theirs])).reshape(2, -1)
    return 1 - _ratio(((ranks[0] - ranks[1]) ** 2).mean(), 2 * ranks.var(ddof=1))


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below > 0 else np.nan


MEASURES: dict[str, Callable[[Array, Array], float]] = {
    "spearman": spearman,
    "kappa": kappa,
    "alpha": alpha,
}
"""Name in the table `qualification` → measure."""
