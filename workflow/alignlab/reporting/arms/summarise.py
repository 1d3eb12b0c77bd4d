"""The tables of arms: means with intervals, differences by prompt, groups of prompts, scenarios.

Groups are small and many, so they are for looking and not for testing; just-eval's tasks and topics
(URIAL, arXiv 2312.01552 §4.1) are tags, and a prompt counts in the group of each of its tags.
Scenarios have the form of the tables of Learning from Mistakes (arXiv 2310.10477 §4): methods by
measures, such as the rate of harmless answers to red-team prompts beside the refusals of harmless
ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.prompts import read_prompts
from alignlab.learning.config import MeasureConfig, ScenarioConfig
from alignlab.metrics.definitions import METRICS
from alignlab.reporting.arms.contrasts import contrast_rows
from alignlab.reporting.arms.values import StatisticsJob, Values, load, mean_rows, scales
from alignlab.statistics import estimates
from alignlab.statistics.intervals import ALL, Mask

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 2
"""Prompts with a value that a row of `breakdown` needs."""
OWN = ("mean", "ci_low", "ci_high", "coverage")
DIFFERENCE = {
    "n": "n",
    "clusters": "clusters",
    "mean_difference": "difference",
    "ci_low": "difference_low",
    "ci_high": "difference_high",
    "test": "test",
    "p_value": "p_value",
    "p_adjusted": "p_adjusted",
    "minimum_detectable_effect": "minimum_detectable_effect",
    "effect_size": "effect_size",
}
"""Column of a comparison → column of `scenarios`."""


def summarise(job: StatisticsJob) -> None:
    """Write the tables of arms, each also as CSV beside it.

    `statistics` has one row per arm, slice and metric of which a value is expected. A prompt counts
    with the mean of its turns that have a value; `coverage` is the share of expected (prompt, turn)
    cells that have one. A judge's mean whose coverage is below the judge's `min_coverage` is
    refused: null. Intervals of means on a judge's scale, and of shares, metrics whose values, in
    every arm, are all 0 or 1, are `intervals.bounded_intervals`; those of all other metrics are
    bootstrapped.

    `comparisons` has one row per other arm (`arm_a`), slice and metric: a − baseline on the
    (prompt, turn) cells where both have a value, averaged within the prompt. Refused where one of
    the means is. Holm's family is all arms on one metric and slice, those refused aside: each
    dataset and category asks a question of its own.

    `breakdown` is as `breakdown_rows` makes it; `scenarios` and `contrasts`, if there are any, as
    `scenario_rows` and `contrast_rows`.

    Raises:
        AlignlabError: a table is damaged, or names a prompt or turn that is in none of the tables
            of prompts; a scenario measures what no arm has; as `values.load`.
    """
    spec, asked = job.spec, read_prompts(job.prompts)
    values = load(job, asked)
    made = {
        "statistics": _statistics(values, spec.seed),
        "comparisons": _comparisons(values, spec.baseline, spec.seed),
        "breakdown": breakdown_rows(values, asked, spec.seed),
    }
    if spec.scenarios:
        made["scenarios"] = scenario_rows(values, spec.scenarios, spec.seed)
    if spec.contrasts:
        made["contrasts"] = contrast_rows(values, spec.contrasts, spec.seed)
    for table, rows in made.items():
        tables.write_with_csv(table, job.output / f"{table}.parquet", rows, spec.signed)


def _statistics(values: Values, seed: int) -> Iterator[tables.Row]:
    ends = scales(values)
    for dataset, category, mask in values.slices():
        found = mean_rows(values, ends, mask[:, None], seed)
        for (arm, metric), row in found.items():
            where = {"dataset": dataset, "category": category}
            yield {"arm": arm, **where, "metric": metric, **row}


def _comparisons(values: Values, baseline: str, seed: int) -> Iterator[tables.Row]:
    for dataset, category, mask in values.slices():
        rows = list(_differences(values, baseline, mask, seed))
        for metric in values.metrics:
            estimates.adjust([row for row in rows if row["metric"] == metric])
        yield from ({"dataset": dataset, "category": category, **row} for row in rows)


def _differences(values: Values, baseline: str, mask: Mask, seed: int) -> Iterator[tables.Row]:
    """Rows of one slice, those left out where nobody asked both arms anything."""
    base = values.arms.index(baseline)
    others = [arm for arm in range(len(values.arms)) if arm != base]
    if not others:
        return
    cube, expected = values.cube[:, :, mask], values.expected[:, :, mask]
    refused = values.refused(values.coverage(mask[:, None]))
    places = product(others, range(len(values.metrics)))
    rows = estimates.compare(cube[others], cube[[base]], seed, values.clusters[mask])
    for (a, m), row in zip(places, rows, strict=True):
        if (expected[a, m] & expected[base, m]).any():
            yield {
                "arm_a": values.arms[a],
                "arm_b": baseline,
                "metric": values.metrics[m],
                **(estimates.refused(row) if refused[a, m] or refused[base, m] else row),
            }


def breakdown_rows(values: Values, asked: pd.DataFrame, seed: int) -> Iterator[tables.Row]:
    """Rows of the table `breakdown`: every arm, metric and group with two prompts or more.

    Means, intervals, coverage and what is refused as in `summarise`. Something that all
    prompts share, such as their only category, is no group. A metric whose meaning differs by
    category, as refusals do, has a row for each category of a group that mixes them, and none of
    both together.

    Args:
        values: every value of the experiment.
        asked: its prompts in the same order, as `core.prompts.read_prompts` gives them.
        seed: of the resamples.
    """
    ends = scales(values)
    for by, groups in _groups(asked, values.cube.shape[3]).items():
        for group, cells in groups.items() if len(groups) > 1 else ():
            by_kind = _by_category(values, cells, seed)
            for (arm, metric), row in mean_rows(values, ends, cells, seed).items():
                for category, found in by_kind.get((arm, metric), {ALL: row}).items():
                    if found["n"] >= FEWEST:
                        label = {"by": by, "group": group, "category": category}
                        yield {"arm": arm, "metric": metric, **label, **found}


def _by_category(
    values: Values, cells: Mask, seed: int
) -> dict[tuple[str, str], dict[str, tables.Row]]:
    """(Arm, metric) → category → row, of metrics that mean another thing in each, if several are.

    `cells` are those of a group, which broadcast to shape (prompts, turns).
    """
    split = [name for name in values.metrics if name in METRICS and METRICS[name].by_category]
    members = np.broadcast_to(cells, values.cube.shape[2:]).any(axis=1)
    kinds = np.unique(values.categories[members])
    made: dict[tuple[str, str], dict[str, tables.Row]] = {}
    if split and len(kinds) > 1:
        chosen = values.of(*split)
        for kind in kinds:
            of_kind = cells & (values.categories == kind)[:, None]
            for key, row in mean_rows(chosen, scales(chosen), of_kind, seed).items():
                made.setdefault(key, {})[str(kind)] = row
    return made


def _groups(asked: pd.DataFrame, turns: int) -> dict[str, dict[str, Mask]]:
    """What sets groups apart → group → its cells, which broadcast to shape (prompts, turns)."""
    by_tag = asked["tags"].reset_index(drop=True).explode().dropna()
    members = {tag: rows.index.to_numpy() for tag, rows in by_tag.groupby(by_tag)}
    tags = {tag: np.isin(np.arange(len(asked)), rows)[:, None] for tag, rows in members.items()}
    by_turn = {str(turn + 1): np.arange(turns) == turn for turn in range(turns)}
    columns = {
        name: {
            str(kind): (asked[name] == kind).to_numpy()[:, None]
            for kind in sorted(asked[name].dropna().unique())
        }
        for name in ("source", "category")
    }
    return {"tag": tags, **columns, "turn": by_turn}


def scenario_rows(
    values: Values, scenarios: Sequence[ScenarioConfig], seed: int
) -> Iterator[tables.Row]:
    """Rows of the table `scenarios`, in the order of the experiment.

    A measure has one row per arm with its own mean (`against` is null), then one per pair of an arm
    and an arm that it is compared with: a prompt pairs with itself. Two arms are compared once, so
    of `against: [a, b]` the row b − a is there and a − b is not. Intervals, tests and turns as in
    `summarise`; Holm's family is every comparison of one scenario's measure.

    Args:
        values: every value of the experiment.
        scenarios: of the experiment.
        seed: of resamples and random signs.

    Raises:
        AlignlabError: a measure's metric or dataset, or an arm, is in no table.
    """
    for scenario in scenarios:
        arms = scenario.arms
        chosen = pairs(arms, scenario.against)
        for name in (*arms, *scenario.against):
            if name not in values.arms:
                known = ", ".join(values.arms)
                raise AlignlabError(f"scenario {scenario.name}: {name!r} is not one of {known}")
        for measure in scenario.measures:
            measured, mask = _measured(values, scenario.name, measure)
            chosen_by = measure.model_dump() | {"category": measure.category or ALL}
            common = {"scenario": scenario.name, **chosen_by}
            yield from (common | row for row in _scenario_means(measured, mask, arms, seed))
            yield from (common | row for row in _scenario_differences(measured, mask, chosen, seed))


def pairs(arms: Sequence[str], against: Sequence[str]) -> list[tuple[str, str]]:
    """Which arm is compared with which, each two once."""
    return [
        (arm, other)
        for place, other in enumerate(against)
        for arm in arms
        if arm not in against[: place + 1]
    ]


def _measured(values: Values, scenario: str, measure: MeasureConfig) -> tuple[Values, Mask]:
    """The values of a measure's metric, and the mask over prompts that it is of."""
    where = f"scenario {scenario}, measure {measure.label!r}"
    metric, dataset, category = measure.metric, measure.dataset, measure.category
    if metric not in values.metrics:
        known = ", ".join(values.metrics)
        raise AlignlabError(f"{where}: no answer has the metric {metric!r}; there are {known}")
    mask = (values.datasets == dataset) | (dataset == ALL)
    if not mask.any():
        known = ", ".join(np.unique(values.datasets))
        raise AlignlabError(f"{where}: no prompt is from {dataset!r}; datasets are {known}")
    mask &= (values.categories == category) | (category is None)
    if not mask.any():
        raise AlignlabError(f"{where}: no prompt of {dataset!r} is of category {category!r}")
    return values.of(metric), mask


def _scenario_means(
    values: Values, mask: Mask, arms: Sequence[str], seed: int
) -> Iterator[tables.Row]:
    (metric,) = values.metrics
    found = mean_rows(values, scales(values), mask[:, None], seed)
    unasked = {**dict.fromkeys(OWN), "n": 0, "clusters": 0}
    for arm in arms:
        row = {**dict.fromkeys(DIFFERENCE.values()), **found.get((arm, metric), unasked)}
        yield {**row, "arm": arm, "against": None}


def _scenario_differences(
    values: Values, mask: Mask, chosen: Sequence[tuple[str, str]], seed: int
) -> Iterator[tables.Row]:
    cube = values.cube[:, :, mask]
    refused = values.refused(values.coverage(mask[:, None]))[:, 0]
    ours, theirs = ([values.arms.index(pair[side]) for pair in chosen] for side in (0, 1))
    found = estimates.compare(cube[ours], cube[theirs], seed, values.clusters[mask])
    compared = [
        estimates.refused(row) if refused[a] or refused[b] else row
        for a, b, row in zip(ours, theirs, found, strict=True)
    ]
    estimates.adjust(compared)
    for (arm, other), row in zip(chosen, compared, strict=True):
        renamed = {column: row[name] for name, column in DIFFERENCE.items()}
        yield {**dict.fromkeys(OWN), **renamed, "arm": arm, "against": other}
