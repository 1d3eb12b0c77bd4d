"""Scenarios: a few arms on a few measures, each arm compared with named others by prompt.

    snakemake results/lfm-demo/tables/scenarios.parquet

The form of the tables of Learning from Mistakes (arXiv 2310.10477 §4): methods by measures, such as
the rate of harmless answers to red-team prompts beside the refusals of harmless ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alignlab import tables
from alignlab.errors import AlignlabError
from alignlab.statistics import estimates, paired
from alignlab.statistics.values import ALL, Array, Mask, Values, number

OWN = ("mean", "ci_low", "ci_high", "coverage")
DIFFERENCE = {
    "n": "n",
    "mean_difference": "difference",
    "ci_low": "difference_low",
    "ci_high": "difference_high",
    "test": "test",
    "p_value": "p_value",
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
            measured = _measured(values, scenario["name"], measure)
            yield from _means(measured, arms, seed)
            yield from _differences(measured, chosen, seed)


def pairs(arms: Sequence[str], against: Sequence[str]) -> list[tuple[str, str]]:
    """Which arm is compared with which, each two once."""
    return [
        (arm, other)
        for place, other in enumerate(against)
        for arm in arms
        if arm not in against[: place + 1]
    ]


@dataclass(frozen=True)
class _Measured:
    """One measure of a scenario: columns that its rows share, and the values of every arm."""

    common: tables.Row
    cells: Mapping[str, Array]
    """Arm → shape (1, prompts, turns)."""
    expected: int
    """How many values an arm should have."""
    share: Mask
    """Shape (1,): whether the metric is a share."""


def _measured(values: Values, scenario: str, measure: Mapping[str, Any]) -> _Measured:
    where = f"scenario {scenario}, measure {measure['label']!r}"
    metric, dataset = measure["metric"], measure["dataset"]
    if metric not in values.metrics:
        known = ", ".join(values.metrics)
        raise AlignlabError(f"{where}: no answer has the metric {metric!r}; there are {known}")
    mask = (values.datasets == dataset) | (dataset == ALL)
    if not mask.any():
        known = ", ".join(np.unique(values.datasets))
        raise AlignlabError(f"{where}: no prompt is from {dataset!r}; datasets are {known}")
    place = [values.metrics.index(metric)]
    cells = values.cube[:, place][:, :, mask]
    return _Measured(
        common={"scenario": scenario, **measure},
        cells=dict(zip(values.arms, cells, strict=True)),
        expected=int(values.turns[mask].sum()),
        share=estimates.shares(values)[place],
    )


def _means(measured: _Measured, arms: Sequence[str], seed: int) -> Iterator[tables.Row]:
    cells = np.stack([measured.cells[arm] for arm in arms])
    means, bounds = estimates.means(cells, measured.share, seed)
    for arm, row, (low, high) in zip(arms, means[:, 0], bounds[:, 0], strict=True):
        yield {
            **dict.fromkeys(("against", "p_adjusted", *DIFFERENCE.values())),
            **measured.common,
            "arm": arm,
            "n": int((~np.isnan(row)).sum()),
            "mean": estimates.mean(row),
            "ci_low": number(low),
            "ci_high": number(high),
            "coverage": float((~np.isnan(measured.cells[arm])).sum() / measured.expected),
        }


def _differences(
    measured: _Measured, chosen: Sequence[tuple[str, str]], seed: int
) -> Iterator[tables.Row]:
    ours, theirs = (np.stack([measured.cells[pair[side]] for pair in chosen]) for side in (0, 1))
    rows = estimates.compare(ours, theirs, seed)
    adjusted = paired.holm(np.array([row["p_value"] for row in rows], dtype=float))
    for (arm, other), row, p_adjusted in zip(chosen, rows, adjusted, strict=True):
        yield {
            **dict.fromkeys(OWN),
            **measured.common,
            **{column: row[name] for name, column in DIFFERENCE.items()},
            "arm": arm,
            "against": other,
            "p_adjusted": number(p_adjusted),
        }
