"""Win rates of duels, as they are and at equal length, and whether they are more than chance.

A judge sees every two answers in both orders; where these disagree nobody has won. Judges like long
answers, so the share is also given as it would be at equal length, after length-controlled
AlpacaEval (Dubois et al. 2024, arXiv 2404.04475), but fitted on these outcomes alone, and only
where there are answers of about equal length: elsewhere a fit says what its form says.
`benchmarks/winrate_coverage.py` measures how often its interval holds the truth.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import optimize, stats
from scipy.special import expit, log_expit

from alignlab.core import tables
from alignlab.core.prompts import GONE, check_asked, read_prompts
from alignlab.judging.qualification import QualificationJob
from alignlab.statistics import estimates, paired
from alignlab.statistics.intervals import (
    ALL,
    LEVEL,
    Array,
    Integers,
    bounded_intervals,
    by_cluster,
    is_binary,
    number,
    slices,
    varies,
)

log = logging.getLogger(__name__)

POINTS = {"a": 1.0, "tie": 0.5, "inconsistent": 0.5, "b": 0.0}
DUEL = ["judge", "rubric", "aspect", "arm_a", "arm_b"]
ADJUSTED = ("adjusted", "adjusted_low", "adjusted_high")
REFUSED = ("win_rate", "ci_low", "ci_high", *ADJUSTED, "p_value")
FEWEST = 10
"""Decided prompts, of a cluster one, that a fit of two coefficients needs."""
SIDE = 5, 0.1
"""Prompts, of a cluster one, and share of them, that either arm must have answered at least as
briefly as the other: with fewer, equal length lies outside the data."""
CERTAIN = 30
"""Log-odds that are 0 or 1 as far as can be written down."""
STRETCH = 2
"""Standard deviations of the log-ratio of lengths beyond which more length hardly counts."""


def winrates(job: QualificationJob) -> None:
    """Write the table `winrates`, also as CSV beside the Parquet file.

    One row per duel, aspect and dataset. A prompt counts with the mean of its turns. In the sign
    test a cluster of prompts, which are not independent, is won if more is won in it than lost.
    Holm's family is all duels of one judge's aspect on one dataset. An arm's duels with itself,
    which qualify a judge, are left out.

    Raises:
        AlignlabError: a table is damaged, or names a prompt or turn that no prompts table has.
    """
    asked, floors = read_prompts(job.prompts), job.spec.min_coverage
    preferences = [path for paths in job.preferences.values() for path in paths]
    rows = [row for path in preferences for row in _duels(path, asked, floors)]
    families = pd.DataFrame(rows, columns=[*DUEL, "dataset"]).groupby(
        ["judge", "rubric", "aspect", "dataset"]
    )
    for members in families.indices.values():
        estimates.adjust([rows[member] for member in members])
    tables.write_with_csv("winrates", job.output / "winrates.parquet", rows, job.spec.signed)


def _duels(path: Path, asked: pd.DataFrame, floors: Mapping[str, float]) -> Iterator[tables.Row]:
    """Rows of one table, not adjusted; of too few outcomes nothing but their number is said."""
    columns = [*DUEL, "prompt_id", "turn", "outcome", "words_a", "words_b"]
    frame = tables.opened("preferences", path).read(columns=columns).to_pandas()
    check_asked(frame, asked["turns"].map(len), path, GONE)
    frame["points"] = frame["outcome"].map(POINTS)
    of_others = frame[frame["arm_a"] != frame["arm_b"]]
    for names, duel in of_others.groupby(DUEL, sort=False):
        duel = duel.assign(cluster=asked.loc[duel["prompt_id"], "cluster"].to_numpy())
        about = asked.loc[duel["prompt_id"], ["dataset", "category"]].to_numpy(str)
        for dataset, category, mask in slices(*about.T):
            if category == ALL:
                named = dict(zip(DUEL, names, strict=True)) | {"dataset": dataset}
                row = duel_row(duel[mask], " ".join(named.values()))
                if row["coverage"] < floors[named["judge"]]:
                    row |= dict.fromkeys(REFUSED)
                yield named | row


def duel_row(duel: pd.DataFrame, name: str) -> tables.Row:
    """Columns of `winrates` from the turns of a duel, one aspect and dataset; p is not adjusted.

    Args:
        duel: `prompt_id`, `cluster`, `outcome` (may be null), `points` (of arm_a: 1, 0.5 or 0; NaN
            if null), `words_a` and `words_b`.
        name: for the log, which says why a win rate could not be adjusted.
    """
    known = duel.dropna(subset=["points"])
    counts = [int((known["outcome"] == outcome).sum()) for outcome in POINTS]
    wins, ties, inconsistent, losses = counts
    prompts = _by_prompt(known)
    points, longer = prompts["points"].to_numpy(), relative_length(prompts["ratio"].to_numpy())
    clusters = prompts["cluster"].to_numpy()
    ((low, high),) = bounded_intervals(points[None], clusters=clusters)
    adjusted = (np.nan, np.nan, np.nan)
    if reason := unfitted(points, longer, clusters):
        log.info("%s: no win rate at equal length: %s", name, reason)
    else:
        adjusted = adjusted_rate(points, longer, clusters)
    return {
        "n": len(points),
        "clusters": len(np.unique(clusters)),
        **{"wins": wins, "ties": ties, "losses": losses, "inconsistent": inconsistent},
        "win_rate": estimates.mean(points),
        "ci_low": number(low),
        "ci_high": number(high),
        **dict(zip(ADJUSTED, map(number, adjusted), strict=True)),
        "consistency": 1 - inconsistent / len(known) if len(known) else None,
        "p_value": number(paired.mcnemar(by_cluster(points[None] - 0.5, clusters)[0])[0]),
        "coverage": len(known) / len(duel),
    }


def _by_prompt(known: pd.DataFrame) -> pd.DataFrame:
    """Each prompt's mean `points` and mean `ratio`, the log-ratio of words, and its `cluster`."""
    ratio = np.log1p(known["words_a"].astype(float)) - np.log1p(known["words_b"].astype(float))
    groups = known.assign(ratio=ratio).groupby("prompt_id")
    means = groups[["points", "ratio"]].mean()
    return means.assign(cluster=groups["cluster"].min())


def relative_length(ratios: Array) -> Array:
    """How much longer arm_a's answers are, from the log-ratios of words, shape (prompts,).

    In standard deviations, and levelling off beyond `STRETCH`, as AlpacaEval's tanh does beyond
    one: with its own, an arm that is nearly always longer is hardly ever of about equal length.

    Returns:
        Shape (prompts,); 0 is equal length.
    """
    deviation = ratios.std() if ratios.any() else 0.0
    return np.asarray(STRETCH * np.tanh(ratios / (deviation or 1.0) / STRETCH))


def unfitted(points: Array, longer: Array, clusters: Integers) -> str:
    """Why outcomes say nothing of the win rate at equal length; empty if they do.

    Args:
        points: shape (prompts,): from 0 to 1.
        longer: shape (prompts,), as `relative_length` gives it.
        clusters: shape (prompts,), as in `by_cluster`.
    """
    if (decided := len(np.unique(clusters[points != POINTS["tie"]]))) < FEWEST:
        return f"{decided} decided prompts, fewer than {FEWEST}"
    if not varies(longer):
        return "all pairs differ in length alike"
    whole = len(np.unique(clusters))
    needed = max(SIDE[0], SIDE[1] * whole)
    for answers, there in (("shorter", longer <= 0), ("longer", longer >= 0)):
        if (count := len(np.unique(clusters[there]))) < needed:
            return (
                f"equal length lies outside the data: arm_a's answer is {answers}, or as long, on "
                f"{count} of {whole} prompts only"
            )
    return ""


def adjusted_rate(points: Array, longer: Array, clusters: Integers) -> tuple[float, float, float]:
    """Win rate at equal length, and its 95% interval.

    Logistic regression of the points on the relative length, with Firth's penalty (1993, "Bias
    reduction of maximum likelihood estimates"), which is finite also where one arm wins everything,
    or length tells wins from losses. The interval is of its profile likelihood (Heinze and Schemper
    2002, "A solution to the problem of separation in logistic regression"). Points of other values
    than 0 and 1, and prompts of one cluster, vary otherwise than the likelihood says: it is then
    scaled by how they vary.

    Args:
        points: shape (prompts,): from 0 to 1.
        longer: shape (prompts,), as `relative_length` gives it.
        clusters: shape (prompts,), as in `by_cluster`.
    """
    design = np.column_stack([np.ones_like(longer), longer])

    def loss(coefficients: Array) -> float:
        linear = design @ coefficients
        information = (design.T * expit(linear) * expit(-linear)) @ design
        likelihood = points @ log_expit(linear) + (1 - points) @ log_expit(-linear)
        return float(-likelihood - np.linalg.slogdet(information)[1] / 2)

    best = optimize.minimize(loss, np.zeros(2))
    least = _quantile(points, design, clusters, best.x) / 2 + best.fun

    def excess(intercept: float) -> float:
        """Of the loss at an intercept, whatever the slope, over what the interval allows."""
        found = optimize.minimize_scalar(lambda slope: loss(np.array([intercept, slope])))
        return float(found.fun) - least

    ends = [_root(excess, best.x[0], step) for step in (-1.0, 1.0)]
    rate, low, high = expit([best.x[0], *ends])
    return float(rate), float(low), float(high)


def _root(excess: Callable[[float], float], start: float, step: float) -> float:
    """Where the excess, which is below zero at the start, reaches it in the step's direction."""
    while excess(start + step) < 0:
        if abs(step) > CERTAIN:
            return step * np.inf
        step *= 2
    return float(optimize.brentq(excess, *sorted((start, start + step)), xtol=1e-6))


def _quantile(points: Array, design: Array, clusters: Integers, coefficients: Array) -> float:
    """How far twice the log-likelihood may fall within the interval.

    Chi-squared's where points are 0 and 1 and each prompt is its own cluster; else that of Student,
    times the variance of the intercept between clusters, with left-out residuals, over the model's.
    """
    count = len(np.unique(clusters))
    if is_binary(points).all() and count == len(points):
        return float(stats.chi2.ppf(LEVEL, 1))
    expected = expit(design @ coefficients)
    weighted = design.T * expected * (1 - expected)
    covariance = np.linalg.inv(weighted @ design)
    leverage = np.einsum("pi,ij,jp->p", design, covariance, weighted)
    influence = design @ covariance[0] * (points - expected) / (1 - leverage)
    varied = (by_cluster(influence[None], clusters)[0] ** 2).sum() / covariance[0, 0]
    return float(stats.t.ppf((1 + LEVEL) / 2, count - 2) ** 2 * varied)
