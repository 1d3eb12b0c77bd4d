"""How often 95% intervals hold the truth, and how often paired tests reject it, by simulation.

.venv/bin/python benchmarks/interval_coverage.py             # all sections, about ten minutes
.venv/bin/python benchmarks/interval_coverage.py clusters    # some; `SECTIONS` lists them
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from alignlab.statistics import paired
from alignlab.statistics.bootstrap import mean_intervals
from alignlab.statistics.intervals import (
    Array,
    bounded_intervals,
    difference_intervals,
    rate_difference_intervals,
)

REPLICATES = 2000
COUNTS = (24, 80, 800)
SCORES = np.arange(1.0, 6.0)
LIKERT = {
    "centred, mean 3.0": (0.10, 0.20, 0.40, 0.20, 0.10),
    "like depth, mean 3.4": (0.05, 0.15, 0.30, 0.35, 0.15),
    "two humps, mean 3.1": (0.35, 0.10, 0.05, 0.10, 0.40),
    "weak model, mean 1.6": (0.65, 0.20, 0.08, 0.05, 0.02),
    "like helpfulness, mean 4.6": (0.02, 0.03, 0.08, 0.12, 0.75),
    "like clarity, mean 4.9": (0.0, 0.002, 0.01, 0.067, 0.921),
}
RATES = (0.1, 0.25, 0.5, 0.75, 0.9)
PAIRS = (
    ("like depth, mean 3.4", "like helpfulness, mean 4.6"),
    ("like depth, mean 3.4", "like depth, mean 3.4"),
    ("weak model, mean 1.6", "centred, mean 3.0"),
)
# Differences of two arms: a few large losses and many small wins, or none.
SKEWED = {
    "wins of 1 as losses of 4, 50% ties": ((1, 0, -4), (0.4, 0.5, 0.1)),
    "wins of 1 as losses of 4, 75% ties": ((1, 0, -4), (0.2, 0.75, 0.05)),
    "wins of 1 as losses of 4, no ties": ((1, -4), (0.8, 0.2)),
    "10% losses of 4, else ties": ((0, -4), (0.9, 0.1)),
    "5% losses of 4, else ties": ((0, -4), (0.95, 0.05)),
}
SAME = (0.0, 0.5)
WON_LOST = ((0.3, 0.3), (0.3, 0.1), (0.4, 0.05), (0.15, 0.15), (0.15, 0.02))


CLUSTERED = ("all alike", 1.0), ("70% alike", 0.7)
"""Share of the prompts of a cluster that say what the cluster does; the others are independent."""


def main() -> None:
    print(f"{REPLICATES:,} replicates, in percent")
    for name in sys.argv[1:] or SECTIONS:
        title, columns, rows = SECTIONS[name]
        show(title, columns, rows(np.random.default_rng(0)))


def show(title: str, columns: str, rows: Iterator[tuple[str, int, list[float]]]) -> None:
    print(f"\n{title} ({columns})\n{'':50}" + "".join(f"n = {n:<11}" for n in COUNTS))
    line = ""
    for name, count, found in rows:
        line = line or f"{name:50}"
        line += f"{'  '.join(f'{100 * value:5.1f}' for value in found):15}"
        if count == COUNTS[-1]:
            print(line, flush=True)
            line = ""


def means(dice: np.random.Generator) -> Iterator[tuple[str, int, list[float]]]:
    for name, shares in LIKERT.items():
        for n in COUNTS:
            values = dice.choice(SCORES, (REPLICATES, n), p=shares)
            yield name, n, held(values, SCORES @ shares, bounded_intervals(values, 1, 5))
    for rate in RATES:
        for n in COUNTS:
            values = (dice.random((REPLICATES, n)) < rate).astype(float)
            yield f"rate {rate}", n, held(values, rate, bounded_intervals(values))
    for rate in RATES:
        for n in COUNTS:
            first, other = dice.random((2, REPLICATES, n)) < rate
            second = np.where(dice.random((REPLICATES, n)) < 0.5, first, other)
            values = (first + 1.0 * second) / 2
            yield f"rate {rate}, two like turns", n, held(values, rate, bounded_intervals(values))


def differences(dice: np.random.Generator) -> Iterator[tuple[str, int, list[float]]]:
    for ours, theirs in PAIRS:
        for same in SAME:
            for n in COUNTS:
                values = pair(dice, ours, theirs, same, n)
                truth = (1 - same) * (SCORES @ LIKERT[ours] - SCORES @ LIKERT[theirs])
                names = (each.split(",")[0] for each in (ours, theirs))
                name = f"{' − '.join(names)}, {same:.0%} ties"
                yield name, n, held(values, truth, difference_intervals(values))
    for won, lost in WON_LOST:
        for n in COUNTS:
            values = won_lost(dice, won, lost, n)
            bounds = rate_difference_intervals(values)
            yield f"rates, {won:.0%} won, {lost:.0%} lost", n, held(values, won - lost, bounds)


def skewed(dice: np.random.Generator) -> Iterator[tuple[str, int, list[float]]]:
    for name, (values_of, shares) in SKEWED.items():
        for n in COUNTS:
            values = dice.choice(np.array(values_of, dtype=float), (REPLICATES, n), p=shares)
            truth = float(np.dot(values_of, shares))
            found = held(values, truth, difference_intervals(values))
            equal = abs(truth) < 1e-9
            p_values = paired.sign_flip(values, seed=0) if equal else np.empty(0)
            yield name, n, [*found, (p_values < paired.ALPHA).mean()] if equal else found


def clusters(dice: np.random.Generator) -> Iterator[tuple[str, int, list[float]]]:
    """Three prompts a cluster; as many clusters as there are prompts elsewhere."""
    for kind, like in CLUSTERED:
        for rate in RATES[:3]:
            for n in COUNTS:
                members = np.repeat(np.arange(n), 3)
                together = dice.random((REPLICATES, n)) < rate
                alone = dice.random((REPLICATES, 3 * n)) < rate
                alike = dice.random(alone.shape) < like
                values = np.where(alike, together[:, members], alone).astype(float)
                bounds = bounded_intervals(values, clusters=members), bounded_intervals(values)
                yield f"rate {rate}, {kind}", n, [holding(found, rate) for found in bounds]
        for won, lost in WON_LOST:
            for n in COUNTS:
                members = np.repeat(np.arange(n), 3)
                alone = won_lost(dice, won, lost, 3 * n)
                alike = dice.random(alone.shape) < like
                values = np.where(alike, won_lost(dice, won, lost, n)[:, members], alone)
                bounds = (rate_difference_intervals(values, of) for of in (members, None))
                found = [holding(each, won - lost) for each in bounds]
                yield f"{won:.0%} won, {lost:.0%} lost, {kind}", n, found


def rejections(dice: np.random.Generator) -> Iterator[tuple[str, int, list[float]]]:
    for shares in LIKERT:
        for n in COUNTS:
            p_values = paired.sign_flip(pair(dice, shares, shares, 0.0, n), seed=0)
            yield f"{paired.SIGN_FLIP}, {shares}", n, [(p_values < paired.ALPHA).mean()]
    for rate in (0.1, 0.3):
        for n in COUNTS:
            p_values = paired.mcnemar(won_lost(dice, rate, rate, n))
            yield f"{paired.MCNEMAR}, {2 * rate:.0%} differ", n, [(p_values < paired.ALPHA).mean()]


def pair(dice: np.random.Generator, ours: str, theirs: str, same: float, n: int) -> Array:
    """Differences of scores of two arms, a share of them the same."""
    shape = (REPLICATES, n)
    drawn = [dice.choice(SCORES, shape, p=LIKERT[name]) for name in (ours, theirs)]
    return np.where(dice.random(shape) < same, 0, drawn[0] - drawn[1])


def won_lost(dice: np.random.Generator, won: float, lost: float, n: int) -> Array:
    return dice.choice([1.0, -1.0, 0.0], (REPLICATES, n), p=[won, lost, 1 - won - lost])


def held(values: Array, truth: float, bounds: Array) -> list[float]:
    """Share that holds the truth: of `bounds`, and of the bootstrap's."""
    return [holding(found, truth) for found in (bounds, mean_intervals(values, seed=0))]


def holding(bounds: Array, truth: float) -> float:
    """Share of intervals that hold the truth."""
    low, high = bounds.T
    return float(((low <= truth + 1e-9) & (truth - 1e-9 <= high)).mean())


HELD = "95% intervals that hold the truth"
SECTIONS = {
    "means": (f"Means: {HELD}", "interval, BCa bootstrap", means),
    "differences": (f"Paired differences: {HELD}", "interval, BCa bootstrap", differences),
    "skewed": (
        f"Skewed differences: {HELD}; equal means that the test rejects",
        "interval, BCa bootstrap, test",
        skewed,
    ),
    "clusters": (f"Clusters of three: {HELD}", "interval, as if independent", clusters),
    "tests": ("Equal arms: p < .05", "test", rejections),
}


if __name__ == "__main__":
    main()
