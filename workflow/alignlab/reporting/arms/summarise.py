"""Means with intervals for every arm, every arm against the baseline by prompt, and scenarios.

snakemake --cores 2 results/demo/tables/{statistics,comparisons}.parquet
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from alignlab.core import tables
from alignlab.core.prompts import read_prompts
from alignlab.reporting.arms.breakdown_rows import breakdown_rows
from alignlab.reporting.arms.scenario_rows import scenario_rows
from alignlab.reporting.arms.values import Values, load, mean_rows, scales
from alignlab.statistics import estimates
from alignlab.statistics.arrays import ALL, Mask


def summarise(
    spec: Mapping[str, Any],
    metrics: Mapping[str, Path],
    judged: Mapping[str, Sequence[Path]],
    prompts: Sequence[Path],
    statistics: Path,
    comparisons: Path,
    breakdown: Path,
    scenarios: Path | None = None,
) -> None:
    """Write the tables `statistics`, `comparisons` and `breakdown`, each also as CSV beside it.

    Args:
        spec: `arms` (names, in order of display), `baseline` (one of them), `seed` (of every
            resample), `digest`; `asked`, `scales` and `min_coverage` as in `values.load`;
            `scenarios` (as `experiment.learning.Scenario`) if they are asked for.
        metrics: arm → its metrics table.
        judged: arm → its judgements tables; absent if it has none.
        prompts: the tables of prompts that arms were asked.
        statistics: one row per arm, slice and metric of which a value is expected. A prompt counts
            with the mean of its turns that have a value; `coverage` is the share of expected
            (prompt, turn) cells that have one. A judge's mean whose coverage is below the judge's
            `min_coverage` is refused: null. Intervals of means on a judge's scale, and of shares,
            metrics whose values, in every arm, are all 0 or 1, are
            `intervals.bounded_intervals`; those of all other metrics are bootstrapped.
        comparisons: one row per other arm (`arm_a`), slice by dataset and metric: a − baseline on
            the (prompt, turn) cells where both have a value, averaged within the prompt. Refused
            where one of the means is, and then outside the family of adjusted p-values.
        breakdown: as `breakdown.breakdown_rows` makes it.
        scenarios: the table of that name, as `scenarios.scenario_rows` makes it; none if absent.

    Raises:
        AlignlabError: a table is damaged, or names a prompt or turn that is in none of
            `prompts`; a scenario measures what no arm has; as `values.load`.
    """
    asked = read_prompts(prompts)
    values, seed = load(spec, metrics, judged, asked), spec["seed"]
    tables.write_with_csv("statistics", statistics, _statistics(values, seed), spec)
    differences = _comparisons(values, spec["baseline"], seed)
    tables.write_with_csv("comparisons", comparisons, differences, spec)
    tables.write_with_csv("breakdown", breakdown, breakdown_rows(values, asked, seed), spec)
    if scenarios:
        rows = scenario_rows(values, spec["scenarios"], seed)
        tables.write_with_csv("scenarios", scenarios, rows, spec)


def _statistics(values: Values, seed: int) -> Iterator[tables.Row]:
    ends = scales(values)
    for dataset, category, mask in values.slices():
        found = mean_rows(values, ends, mask[:, None], seed)
        for (arm, metric), row in found.items():
            where = {"dataset": dataset, "category": category}
            yield {"arm": arm, **where, "metric": metric, **row}


def _comparisons(values: Values, baseline: str, seed: int) -> Iterator[tables.Row]:
    for dataset, category, mask in values.slices():
        if category == ALL:
            rows = list(_differences(values, baseline, mask, seed))
            for metric in values.metrics:
                estimates.adjust([row for row in rows if row["metric"] == metric])
            yield from ({"dataset": dataset, **row} for row in rows)


def _differences(values: Values, baseline: str, mask: Mask, seed: int) -> Iterator[tables.Row]:
    """Rows of one slice, those left out where nobody asked both arms anything."""
    base = values.arms.index(baseline)
    others = [arm for arm in range(len(values.arms)) if arm != base]
    if not others:
        return
    cube, expected = values.cube[:, :, mask], values.expected[:, :, mask]
    refused = values.refused(values.coverage(mask[:, None]))
    places = product(others, range(len(values.metrics)))
    rows = estimates.compare(cube[others], cube[[base]], seed)
    for (a, m), row in zip(places, rows, strict=True):
        if (expected[a, m] & expected[base, m]).any():
            yield {
                "arm_a": values.arms[a],
                "arm_b": baseline,
                "metric": values.metrics[m],
                **(estimates.refused(row) if refused[a, m] or refused[base, m] else row),
            }
