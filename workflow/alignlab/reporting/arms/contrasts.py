"""The table `contrasts`: paired differences that an experiment named before the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from alignlab.core import tables
from alignlab.reporting.arms.values import Values
from alignlab.reporting.config import ContrastConfig
from alignlab.statistics import estimates
from alignlab.statistics.intervals import ALL, Mask

Pair = tuple[str, str]


def contrast_rows(
    values: Values, contrasts: Sequence[ContrastConfig], seed: int
) -> Iterator[tables.Row]:
    """Rows of the table, in the order of the experiment: every test that a contrast names.

    A test is of an arm, an arm that it is compared with, a metric and a dataset; and of a category,
    wherever both arms were asked prompts of it, since what is better on one may be worse on
    another. Intervals, tests and what is refused as in `summarise.summarise`. Holm's family is all
    tests of one contrast. A test that no prompt can answer is a row without a value, so that none
    that was named is missing.

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
    chosen = values.of(*contrast.metrics)
    there = (values.datasets == dataset) | (dataset == ALL)
    found = {
        str(category): _compared(chosen, pairs, there & (values.categories == category), seed)
        for category in np.unique(values.categories[there])
    }
    for place, ((arm, against), metric) in enumerate(product(pairs, contrast.metrics)):
        tested = {category: rows[place] for category, rows in found.items() if rows[place]}
        for category, row in (tested or {ALL: estimates.NOTHING}).items():
            label = {"arm_a": arm, "arm_b": against, "metric": metric}
            yield {**label, "dataset": dataset, "category": category, **row}


def _compared(values: Values, pairs: Sequence[Pair], mask: Mask, seed: int) -> list[tables.Row]:
    """A row for each pair and metric, pair by pair; empty where nobody asked both arms anything."""
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
