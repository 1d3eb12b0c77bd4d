"""Win rates of duels, as they are and at equal length, and whether they are more than chance.

A judge sees every two answers in both orders; where these disagree nobody has won. Judges like long
answers, so the share is also given as it would be at equal length, after length-controlled
AlpacaEval (Dubois et al. 2024, arXiv 2404.04475), but fitted on these outcomes alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from alignlab.core import tables
from alignlab.core.prompts import GONE, check_asked, read_prompts
from alignlab.judging.qualification import QualificationJob
from alignlab.statistics import estimates, paired
from alignlab.statistics.intervals import (
    ALL,
    LEVEL,
    Array,
    Names,
    bounded_intervals,
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
"""Decided turns that a fit of two coefficients needs."""


def winrates(job: QualificationJob) -> None:
    """Write the table `winrates`, also as CSV beside the Parquet file.

    One row per duel, aspect and dataset. A prompt counts with the mean of its turns, also in the
    sign test, where it is won if more turns are won than lost. Holm's family is all duels of one
    judge's aspect on one dataset. An arm's duels with itself, which qualify a judge, are left out.

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
        duel: `prompt_id`, `outcome` (may be null), `points` (of arm_a: 1, 0.5 or 0; NaN if null),
            `words_a` and `words_b`.
        name: for the log, which says why a win rate could not be adjusted.
    """
    known = duel.dropna(subset=["points"])
    counts = [int((known["outcome"] == outcome).sum()) for outcome in POINTS]
    wins, ties, inconsistent, losses = counts
    by_prompt = known.groupby("prompt_id")["points"].mean().to_numpy()[None]
    ((low, high),) = bounded_intervals(by_prompt)
    points, longer = known["points"].to_numpy(), relative_length(known)
    adjusted = (np.nan, np.nan, np.nan)
    if reason := unfitted(points, longer):
        log.info("%s: no win rate at equal length: %s", name, reason)
    else:
        adjusted = adjusted_rate(points, longer, known["prompt_id"].to_numpy())
    return {
        "n": by_prompt.size,
        **{"wins": wins, "ties": ties, "losses": losses, "inconsistent": inconsistent},
        "win_rate": estimates.mean(by_prompt),
        "ci_low": number(low),
        "ci_high": number(high),
        **dict(zip(ADJUSTED, map(number, adjusted), strict=True)),
        "consistency": 1 - inconsistent / len(known) if len(known) else None,
        "p_value": number(paired.mcnemar(by_prompt - 0.5)[0]),
        "coverage": len(known) / len(duel),
    }


def relative_length(known: pd.DataFrame) -> Array:
    """How much longer arm_a's answers are: tanh of the log-ratio of words in standard deviations.

    Args:
        known: `words_a` and `words_b` of some turns.

    Returns:
        Shape (turns,), within −1 and 1; 0 is equal length.
    """
    ratios = np.log1p(known["words_a"].to_numpy()) - np.log1p(known["words_b"].to_numpy())
    deviation = ratios.std() if ratios.any() else 0.0
    return np.tanh(ratios / (deviation or 1.0))


def unfitted(points: Array, longer: Array) -> str:
    """Why outcomes say nothing of the win rate at equal length; empty if they do.

    Args:
        points: shape (turns,): 1, 0.5 or 0.
        longer: shape (turns,), as `relative_length` gives it.
    """
    if (decided := int((points != POINTS["tie"]).sum())) < FEWEST:
        return f"{decided} decided turns, fewer than {FEWEST}"
    if not varies(longer):
        return "all pairs differ in length alike"
    # A tie is half a win and half a loss, so it is on both sides.
    won, lost = longer[points > 0], longer[points < 1]
    if not len(won) or not len(lost):
        return "one arm won every turn"
    if won.min() >= lost.max() or lost.min() >= won.max():
        return "length tells all wins from all losses"
    return ""


def adjusted_rate(points: Array, longer: Array, prompts: Names) -> tuple[float, float, float]:
    """Win rate at equal length, and its 95% interval.

    A binomial GLM of the points on an intercept and the relative length, which is 0 where the
    prediction is made. Covariance clustered by prompt, which is right for half points too; the
    interval is the linear predictor's, transformed, so it stays within 0 and 1.

    Args:
        points: shape (turns,): 1, 0.5 or 0.
        longer: shape (turns,), as `relative_length` gives it.
        prompts: shape (turns,): the prompt of each.
    """
    model = GLM(points, np.column_stack([np.ones_like(longer), longer]), Binomial())
    clusters = np.unique(prompts, return_inverse=True)[1]
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": clusters})
    found = fit.get_prediction(np.array([[1.0, 0.0]]))
    ((low, high),) = found.conf_int(alpha=1 - LEVEL)
    return float(found.predicted[0]), float(low), float(high)
