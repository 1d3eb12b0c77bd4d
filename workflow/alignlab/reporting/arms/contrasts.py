"""The table `contrasts`: paired differences that an experiment named before the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from alignlab.core import tables
from alignlab.metrics.definitions import METRICS
from alignlab.reporting.arms.values import Values
from alignlab.reporting.config import ContrastConfig
from alignlab.statistics import estimates
from alignlab.statistics.intervals import ALL, Mask

Pair = tuple[str, str]


def contrast_rows(
    values: Values, contrasts: Sequence[ContrastConfig], seed: int
) -> Iterator[tables.Row]:
    """Rows of the table, in the order of the experiment: every test that a contrast names.

    A test is of an arm, an arm that it is compared with, a metric and a dataset; of refusals, which
    are good or bad as the prompt is, also of a category. Intervals, tests and what is refused as in
    `summarise.summarise`. Holm's family is all tests of one contrast. A test that no prompt can
    answer is a row without a value, so that none that was named is missing.

    Args:
        values: every value of the experiment.
        contrasts: of the experiment.
        seed: of random signs.
    """
    for contrast in contrasts:
        rows = [
            {"contrast": contrast.name, **row}
            for dataset in contrast.datasets
            for row in _tests(values, contrast, dataset, seed)
        ]
        estimates.adjust(rows)
        yield from rows


def _tests(
    values: Values, contrast: ContrastConfig, dataset: str, seed: int
) -> Iterator[tables.Row]:
    pairs = list(product(contrast.arm, contrast.against))
    for metric in contrast.metrics:
        found = {
            category: _compared(values.of(metric), pairs, mask, seed)
            for category, mask in _masks(values, contrast, dataset, metric).items()
        }
        for place, (arm, against) in enumerate(pairs):
            tested = {category: rows[place] for category, rows in found.items() if rows[place]}
            nothing = {contrast.category or ALL: estimates.NOTHING}
            for category, row in (tested or nothing).items():
                label = {"arm_a": arm, "arm_b": against, "metric": metric}
                yield {**label, "dataset": dataset, "category": category, **row}


def _masks(values: Values, contrast: ContrastConfig, dataset: str, metric: str) -> dict[str, Mask]:
    """The prompts of a test; by category where the metric's meaning differs between them."""
    there = (values.datasets == dataset) | (dataset == ALL)
    if contrast.category:
        return {contrast.category: there & (values.categories == contrast.category)}
    if metric in METRICS and METRICS[metric].by_category:
        kinds = np.unique(values.categories[there])
        return {str(kind): there & (values.categories == kind) for kind in kinds}
    return {ALL: there}


def _compared(values: Values, pairs: Sequence[Pair], mask: Mask, seed: int) -> list[tables.Row]:
    """A row for each pair, on one metric; empty where nobody asked both arms anything."""
    if not mask.any():
        return [{} for _ in pairs]
    ours, theirs = ([values.arms.index(pair[side]) for pair in pairs] for side in (0, 1))
    cube, expected = values.cube[:, :, mask], values.expected[:, :, mask]
    refused = values.refused(values.coverage(mask[:, None]))
    rows = estimates.compare(cube[ours], cube[theirs], seed, values.clusters[mask])
    both = (expected[ours] & expected[theirs]).any(axis=(2, 3)).ravel()
    hidden = (refused[ours] | refused[theirs]).ravel()
    return [
        estimates.refused(row) if hide else row if asked else {}
        for row, asked, hide in zip(rows, both, hidden, strict=True)
    ]
