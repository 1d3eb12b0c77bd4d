"""Scenario tables as the page shows them: means, differences by prompt, and what they say in words.

    snakemake --cores 2 results/lfm-demo/report/index.html --config experiment=lfm-demo

A difference is stated under the leaderboard's rule (`headlines.distinguishable`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from alignlab.core import tables
from alignlab.core.tables import Row
from alignlab.metrics.definitions import Metric
from alignlab.reporting.formats import (
    counted,
    decimals,
    direction,
    interval,
    listed,
    number,
    power,
    sizes,
)
from alignlab.reporting.headlines import distinguishable
from alignlab.reporting.judged import Aspect
from alignlab.reporting.results import finite

NAMED = 4
"""How many arms a sentence names, the largest differences first."""


@dataclass(frozen=True)
class Measure:
    """One column: rows of the table `scenarios`, differences under the names of `comparisons`."""

    label: str
    metric: str
    dataset: str
    better: str
    unit: str
    aspect: Aspect | None
    """What a judge rates; null where rules measure."""
    own: dict[str, Row]
    """Arm → its mean."""
    changes: dict[str, dict[str, Row]]
    """The arm compared with → arm → the difference."""

    @property
    def doubt(self) -> str:
        """Why its judge is not to be believed; empty if it is, or there is none."""
        return self.aspect.doubt if self.aspect else ""

    @property
    def places(self) -> int:
        """Decimals of its means; two for a share, which few prompts resolve any finer."""
        share = self.unit == "share"
        return 2 if share else decimals(row["mean"] for row in self.own.values())

    @property
    def change_places(self) -> int:
        """Decimals of its differences."""
        share = self.unit == "share"
        rows = [row for found in self.changes.values() for row in found.values()]
        return 2 if share else decimals(row["mean_difference"] for row in rows)

    @property
    def heading(self) -> str:
        """Unit and direction."""
        return self.unit if self.better == "none" else f"{self.unit}, {self.better} better"

    @property
    def prompts(self) -> str:
        """Which prompts, and how many have a value."""
        counts = [row["n"] for row in self.own.values() if row["n"]]
        return f"{self.dataset}, {sizes(counts or [0])}"


@dataclass(frozen=True)
class Scenario:
    """One table, in the order of the experiment."""

    name: str
    measures: list[Measure]

    @property
    def arms(self) -> list[str]:
        """Rows: an arm that was not asked for one measure may have others."""
        return list(dict.fromkeys(arm for measure in self.measures for arm in measure.own))

    @property
    def against(self) -> list[str]:
        """Arms that others are compared with."""
        return list(dict.fromkeys(name for measure in self.measures for name in measure.changes))


def read(path: Path, about: Mapping[str, Metric], aspects: Mapping[str, Aspect]) -> list[Scenario]:
    """Read the table; the rest as in `Results`.

    Raises:
        AlignlabError: it is missing or damaged.
    """

    def measured(rows: list[Row]) -> Measure:
        metric = rows[0]["metric"]
        return _measure(rows, about[metric].unit, aspects.get(metric))

    rows = [finite(row) for row in tables.rows("scenarios", path)]
    return [
        Scenario(name, [measured(list(each)) for _, each in groupby(found, _of_measure)])
        for name, found in groupby(rows, lambda row: row["scenario"])
    ]


def _of_measure(row: Row) -> tuple[str, ...]:
    return row["label"], row["metric"], row["dataset"]


def _measure(rows: list[Row], unit: str, aspect: Aspect | None) -> Measure:
    changes: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["against"] is not None:
            changes.setdefault(row["against"], {})[row["arm"]] = row | {
                "mean_difference": row["difference"],
                "ci_low": row["difference_low"],
                "ci_high": row["difference_high"],
            }
    own = {row["arm"]: row for row in rows if row["against"] is None}
    first = {key: rows[0][key] for key in ("label", "metric", "dataset", "better")}
    return Measure(**first, unit=unit, aspect=aspect, own=own, changes=changes)


def sentences(measure: Measure) -> list[str]:
    """What one measure shows, a sentence for each arm that others are compared with.

    A judge that is not qualified shows nothing.
    """
    if measure.doubt:
        return [f"Not stated, since its judge is not qualified: {measure.doubt}."]
    return [_sentence(measure, against) for against in measure.changes]


def _sentence(measure: Measure, against: str) -> str:
    changes = measure.changes[against]
    # A comparison is null where too few answers have a score, or an arm was not asked.
    rows = {arm: row for arm, row in changes.items() if row["mean_difference"] is not None}
    if not rows:
        return f"Against {against}: nothing to compare."
    moved = [arm for arm, row in rows.items() if distinguishable(row)]
    moved.sort(key=lambda arm: -abs(rows[arm]["mean_difference"]))
    said = []
    for word, sign in (("lower", -1), ("higher", 1)):
        arms = [arm for arm in moved if rows[arm]["mean_difference"] * sign > 0]
        if arms:
            amounts = [
                f"{arm} by {_amount(rows[arm], measure.change_places)}" for arm in arms[:NAMED]
            ]
            more = [f"{len(arms) - NAMED} more"] if len(arms) > NAMED else []
            meaning = "" if measure.better == "none" else f" ({direction(measure.better, sign)})"
            said.append(f"{word}{meaning} in {listed([*amounts, *more])}")
    still = [arm for arm in rows if arm not in moved]
    if still:
        shown = still if len(still) <= NAMED else [counted(len(still), "arm")]
        found = power([rows[arm] for arm in still], measure.change_places)
        said.append(f"not told apart in {listed(shown)} ({found})")
    return f"Against {against}: {'; '.join(said)}."


def _amount(row: Row, places: int) -> str:
    """`0.31 [0.22, 0.40]`: how far apart, where a word says in which direction."""
    low, high = sorted(abs(row[end]) for end in ("ci_low", "ci_high"))
    return f"{number(abs(row['mean_difference']), places)}\u00a0{interval(low, high, places)}"
