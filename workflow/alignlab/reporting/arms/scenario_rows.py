"""Scenarios: a few arms on a few measures, each arm compared with named others by prompt.

    snakemake --cores 2 --config experiment=lfm-demo -- results/lfm-demo/tables/scenarios.parquet

The form of the tables of Learning from Mistakes (arXiv 2310.10477 §4): methods by measures, such as
the rate of harmless answers to red-team prompts beside the refusals of harmless ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.reporting.arms.values import Values, mean_rows, scales
from alignlab.statistics import estimates
from alignlab.statistics.arrays import ALL, Mask

OWN = ("mean", "ci_low", "ci_high", "coverage")
DIFFERENCE = {
    "n": "n",
    "mean_difference": "difference",
    "ci_low": "difference_low",
    "ci_high": "difference_high",
    "test": "test",
    "p_value": "p_value",
    "p_adjusted": "p_adjusted",
    "minimum_detectable_effect": "minimum_detectable_effect",
    "effect_size": "effect_size",
}
"""Column of a comparison → column here."""


def scenario_rows(
    values: Values, scenarios: Sequence[Mapping[str, Any]], seed: int
) -> Iterator[tables.Row]:
    """Rows of the table `scenarios`, in the order of the experiment.

    A measure has one row per arm with its own mean (`against` is null), then one per pair of an arm
    and an arm that it is compared with: a prompt pairs with itself. Two arms are compared once, so
    of `against: [a, b]` the row b − a is there and a − b is not. Intervals, tests and turns as in
    `summarise`; Holm's family is every comparison of one scenario's measure.

    Args:
        values: every value of the experiment.
        scenarios: `name`, `arms`, `against` and `measures`, each with `label`, `metric`, `dataset`
            and `better`.
        seed: of resamples and random signs.

    Raises:
        AlignlabError: a measure's metric or dataset, or an arm, is in no table.
    """
    for scenario in scenarios:
        arms = scenario["arms"]
        chosen = pairs(arms, scenario["against"])
        for name in (*arms, *scenario["against"]):
            if name not in values.arms:
                known = ", ".join(values.arms)
                raise AlignlabError(f"scenario {scenario['name']}: {name!r} is not one of {known}")
        for measure in scenario["measures"]:
            measured, mask = _measured(values, scenario["name"], measure)
            common = {"scenario": scenario["name"], **measure}
            yield from (common | row for row in _means(measured, mask, arms, seed))
            yield from (common | row for row in _differences(measured, mask, chosen, seed))


def pairs(arms: Sequence[str], against: Sequence[str]) -> list[tuple[str, str]]:
    """Which arm is compared with which, each two once."""
    return [
        (arm, other)
        for place, other in enumerate(against)
        for arm in arms
        if arm not in against[: place + 1]
    ]


def _measured(values: Values, scenario: str, measure: Mapping[str, Any]) -> tuple[Values, Mask]:
    """The values of a measure's metric, and the mask over prompts of its dataset."""
    where = f"scenario {scenario}, measure {measure['label']!r}"
    metric, dataset = measure["metric"], measure["dataset"]
    if metric not in values.metrics:
        known = ", ".join(values.metrics)
        raise AlignlabError(f"{where}: no answer has the metric {metric!r}; there are {known}")
    mask = (values.datasets == dataset) | (dataset == ALL)
    if not mask.any():
        known = ", ".join(np.unique(values.datasets))
        raise AlignlabError(f"{where}: no prompt is from {dataset!r}; datasets are {known}")
    return values.of(metric), mask


def _means(values: Values, mask: Mask, arms: Sequence[str], seed: int) -> Iterator[tables.Row]:
    (metric,) = values.metrics
    found = mean_rows(values, scales(values), mask[:, None], seed)
    unasked = {**dict.fromkeys(OWN), "n": 0}
    for arm in arms:
        row = {**dict.fromkeys(DIFFERENCE.values()), **found.get((arm, metric), unasked)}
        yield {**row, "arm": arm, "against": None}


def _differences(
    values: Values, mask: Mask, chosen: Sequence[tuple[str, str]], seed: int
) -> Iterator[tables.Row]:
    cube = values.cube[:, :, mask]
    refused = values.refused(values.coverage(mask[:, None]))[:, 0]
    ours, theirs = ([values.arms.index(pair[side]) for pair in chosen] for side in (0, 1))
    compared = [
        estimates.refused(row) if refused[a] or refused[b] else row
        for a, b, row in zip(
            ours, theirs, estimates.compare(cube[ours], cube[theirs], seed), strict=True
        )
    ]
    estimates.adjust(compared)
    for (arm, other), row in zip(chosen, compared, strict=True):
        renamed = {column: row[name] for name, column in DIFFERENCE.items()}
        yield {**dict.fromkeys(OWN), **renamed, "arm": arm, "against": other}
