"""Means with intervals for every arm, every arm against the baseline by prompt, and scenarios.

snakemake results/demo/tables/statistics.parquet results/demo/tables/comparisons.parquet
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alignlab import tables
from alignlab.statistics import estimates, paired
from alignlab.statistics.scenarios import scenario_rows
from alignlab.statistics.values import ALL, Array, Values, load, number


def summarise(
    spec: Mapping[str, Any],
    metrics: Mapping[str, Path],
    prompts: Sequence[Path],
    statistics: Path,
    comparisons: Path,
    scenarios: Path | None = None,
) -> None:
    """Write the tables `statistics` and `comparisons`, each also as CSV beside the Parquet file.

    Args:
        spec: `arms` (names, in order of display), `baseline` (one of them), `seed` (of every
            resample), `digest`; `scenarios` (as `experiment.learning.Scenario`) if they are asked
            for.
        metrics: arm → its metrics table.
        prompts: the tables of prompts that every arm should have answered.
        statistics: one row per arm, slice and metric. A prompt counts with the mean of its turns
            that have a value; `coverage` is the share of the slice's (prompt, turn) cells that
            have one. Intervals are bootstrapped, with one exception: in a metric whose values, in
            every arm, are all 0 or 1, a row of only zeros or only ones gets Wilson's 95% interval
            of a share. Rows of any other constant have an interval of no width.
        comparisons: one row per other arm (`arm_a`), slice by dataset and metric: a − baseline on
            the (prompt, turn) cells where both have a value, averaged within the prompt.
        scenarios: the table of that name, as `scenarios.scenario_rows` makes it; none if absent.

    Raises:
        AlignlabError: a table is damaged, or names a prompt or turn that is in none of
            `prompts`; a scenario measures what no arm has.
    """
    values = load(spec["arms"], metrics, prompts)
    means = _statistics(values, spec["seed"])
    differences = _comparisons(values, spec["baseline"], spec["seed"])
    tables.write_with_csv("statistics", statistics, means, spec)
    tables.write_with_csv("comparisons", comparisons, differences, spec)
    if scenarios:
        rows = scenario_rows(values, spec["scenarios"], spec["seed"])
        tables.write_with_csv("scenarios", scenarios, rows, spec)


def _statistics(values: Values, seed: int) -> Iterator[tables.Row]:
    share = estimates.shares(values)
    for dataset, category, mask in values.slices():
        cells = values.cube[:, :, mask]
        coverage = (~np.isnan(cells)).sum(axis=(2, 3)) / values.turns[mask].sum()
        means, bounds = estimates.means(cells, share, seed)
        for (a, m), n in np.ndenumerate((~np.isnan(means)).sum(axis=2)):
            yield {
                "arm": values.arms[a],
                "dataset": dataset,
                "category": category,
                "metric": values.metrics[m],
                "n": int(n),
                "mean": estimates.mean(means[a, m]),
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
            rows = estimates.compare(cube[others], cube[[base]], seed)
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


def _holm_by_metric(rows: Sequence[tables.Row], shape: tuple[int, int]) -> Array:
    """Adjusted p-values in the order of the rows: a family is all arms on one metric and slice."""
    p_values = np.array([row["p_value"] for row in rows], dtype=float).reshape(shape)
    return np.apply_along_axis(paired.holm, 0, p_values).ravel()
