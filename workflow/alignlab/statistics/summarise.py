"""Means with intervals for every arm, and every arm against the baseline, prompt by prompt.

snakemake results/demo/tables/statistics.parquet results/demo/tables/comparisons.parquet
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alignlab import tables
from alignlab.statistics import paired
from alignlab.statistics.bootstrap import mean_intervals, share_intervals
from alignlab.statistics.values import (
    ALL,
    Array,
    Values,
    is_binary,
    load,
    number,
    over_turns,
    varies,
)


def summarise(
    spec: Mapping[str, Any],
    metrics: Mapping[str, Path],
    prompts: Sequence[Path],
    statistics: Path,
    comparisons: Path,
) -> None:
    """Write the tables `statistics` and `comparisons`, each also as CSV beside the Parquet file.

    Args:
        spec: `arms` (names, in order of display), `baseline` (one of them), `seed` (of every
            resample), `digest`.
        metrics: arm → its metrics table.
        prompts: the tables of prompts that every arm should have answered.
        statistics: one row per arm, slice and metric. A prompt counts with the mean of its turns
            that have a value; `coverage` is the share of the slice's (prompt, turn) cells that
            have one. Intervals are bootstrapped, with one exception: in a metric whose values, in
            every arm, are all 0 or 1, a row of only zeros or only ones gets Wilson's 95% interval
            of a share. Rows of any other constant have an interval of no width.
        comparisons: one row per other arm (`arm_a`), slice by dataset and metric: a − baseline on
            the (prompt, turn) cells where both have a value, averaged within the prompt.

    Raises:
        AlignlabError: a table is damaged, or names a prompt or turn that is in none of
            `prompts`.
    """
    values = load(spec["arms"], metrics, prompts)
    estimates = _statistics(values, spec["seed"])
    differences = _comparisons(values, spec["baseline"], spec["seed"])
    tables.write_with_csv("statistics", statistics, estimates, spec)
    tables.write_with_csv("comparisons", comparisons, differences, spec)


def _statistics(values: Values, seed: int) -> Iterator[tables.Row]:
    share = is_binary(values.cube).all(axis=(0, 2, 3))
    for dataset, category, mask in values.slices():
        cells = values.cube[:, :, mask]
        coverage = (~np.isnan(cells)).sum(axis=(2, 3)) / values.turns[mask].sum()
        means = over_turns(cells)
        bounds = np.empty((*means.shape[:2], 2))
        for of_kind, intervals in ((share, share_intervals), (~share, mean_intervals)):
            rows = means[:, of_kind].reshape(-1, means.shape[2])
            bounds[:, of_kind] = intervals(rows, seed).reshape(len(means), -1, 2)
        for (a, m), n in np.ndenumerate((~np.isnan(means)).sum(axis=2)):
            yield {
                "arm": values.arms[a],
                "dataset": dataset,
                "category": category,
                "metric": values.metrics[m],
                "n": int(n),
                "mean": _mean(means[a, m]),
                "ci_low": number(bounds[a, m, 0]),
                "ci_high": number(bounds[a, m, 1]),
                "coverage": float(coverage[a, m]),
            }


def _comparisons(values: Values, baseline: str, seed: int) -> Iterator[tables.Row]:
    base = values.arms.index(baseline)
    others = [arm for arm in range(len(values.arms)) if arm != base]
    for dataset, category, mask in values.slices():
        if category == ALL and others:
            cube = values.cube[:, :, mask]
            shape = (len(others), len(values.metrics))
            rows = _compare(cube[others], cube[[base]], seed)
            adjusted = _holm_by_metric(rows, shape)
            for (a, m), row, p_adjusted in zip(np.ndindex(shape), rows, adjusted, strict=True):
                yield {
                    "arm_a": values.arms[others[a]],
                    "arm_b": baseline,
                    "dataset": dataset,
                    "metric": values.metrics[m],
                    "p_adjusted": number(p_adjusted),
                    **row,
                }


def _compare(others: Array, base: Array, seed: int) -> list[tables.Row]:
    """Compare arms with the baseline on the prompts of one slice, turn by turn.

    Args:
        others: shape (arms, metrics, prompts, turns).
        base: shape (1, metrics, prompts, turns).
        seed: of resamples and random signs.

    Returns:
        A row per arm and metric, arm by arm; p-values are not adjusted.
    """
    differences = over_turns(others - base).reshape(-1, base.shape[2])
    binary = (is_binary(others) & is_binary(base)).all(axis=(2, 3)).ravel()
    exact = binary & is_binary(np.abs(differences)).all(axis=1)
    p_values = np.full(len(differences), np.nan)
    p_values[exact] = paired.mcnemar(differences[exact])
    p_values[~exact] = paired.sign_flip(differences[~exact], seed)
    bounds = mean_intervals(differences, seed)
    return [
        {
            **_size(differences[place]),
            "ci_low": number(bounds[place, 0]),
            "ci_high": number(bounds[place, 1]),
            "test": None if np.isnan(p) else paired.MCNEMAR if exact[place] else paired.SIGN_FLIP,
            "p_value": number(p),
        }
        for place, p in enumerate(p_values)
    ]


def _holm_by_metric(rows: Sequence[tables.Row], shape: tuple[int, int]) -> Array:
    """Adjusted p-values in the order of the rows: a family is all arms on one metric and slice."""
    p_values = np.array([row["p_value"] for row in rows], dtype=float).reshape(shape)
    return np.apply_along_axis(paired.holm, 0, p_values).ravel()


def _size(differences: Array) -> tables.Row:
    """How large a difference is, and how small a one could have been found."""
    present = differences[~np.isnan(differences)]
    deviation = float(present.std(ddof=1)) if len(present) > 1 and varies(present) else 0.0
    mean = _mean(present)
    return {
        "n": len(present),
        "mean_difference": mean,
        "effect_size": mean / deviation if mean is not None and deviation > 0 else None,
        "minimum_detectable_effect": number(
            paired.minimum_detectable_effect(len(present), deviation)
        ),
    }


def _mean(values: Array) -> float | None:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else None
