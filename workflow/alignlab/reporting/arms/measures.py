"""Arms compared on measures, for every board of a report; the findings in words.

A measure has every arm's mean, and differences by prompt from the arms that others are compared
with. The whole report has one rule for what differs significantly: `significant`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from alignlab.core import tables
from alignlab.core.tables import Row
from alignlab.metrics.definitions import Metric
from alignlab.reporting.board import (
    counted,
    decimals,
    direction,
    interval,
    listed,
    number,
    p_value,
    power,
    signed,
    sizes,
)
from alignlab.reporting.inputs import Grid, ReadAspect, ReadResults, finite

ALPHA = 0.05
Grids = Mapping[tuple[str, str], Grid]
NAMED = 4
"""How many arms a sentence names, the largest differences first."""


def significant(row: Row) -> bool:
    """Whether the paired interval excludes zero and the adjusted p-value is below .05."""
    known = None not in (row["ci_low"], row["ci_high"], row["p_adjusted"])
    return known and row["ci_low"] * row["ci_high"] > 0 and row["p_adjusted"] < ALPHA


class MetricPart(NamedTuple):
    """What a metric is called, and which way is better, on the prompts of a category."""

    category: str
    label: str
    better: str


@dataclass(frozen=True)
class Measure:
    """One column: its means, and its differences under the names of `comparisons`."""

    label: str
    metric: str
    dataset: str
    better: str
    unit: str
    aspect: ReadAspect | None
    """What a judge rates; null where rules measure."""
    own: Mapping[str, Row]
    """Arm → its mean."""
    changes: Mapping[str, Mapping[str, Row]]
    """The arm compared with → arm → the difference."""
    description: str = ""
    main: bool = True
    """Whether the first view of the leaderboard has it."""
    only: str = ""
    """Category that it is of, where its slice has several."""

    @property
    def doubt(self) -> str:
        """Why its judge is not qualified; empty if it is, or there is none."""
        return self.aspect.doubt if self.aspect else ""

    @property
    def places(self) -> int:
        """Decimals of its means."""
        return self._places(row["mean"] for row in self.own.values())

    @property
    def change_places(self) -> int:
        """Decimals of its differences."""
        rows = [row for found in self.changes.values() for row in found.values()]
        return self._places(row["mean_difference"] for row in rows)

    def _places(self, values: Iterable[float | None]) -> int:
        return places_of(self.unit, values, judged=self.aspect is not None)

    @property
    def heading(self) -> str:
        """Unit and direction."""
        return self.unit if self.better == "none" else f"{self.unit}, {self.better} better"

    @property
    def prompts(self) -> str:
        """Which prompts, and how many have a value."""
        compared = (row for rows in self.changes.values() for row in rows.values())
        counts = [row["n"] for row in self.own.values() or compared if row["n"]]
        return f"{self.dataset}, {sizes(counts or [0])}"

    @property
    def key(self) -> str:
        """Unlike that of any other column of its slice."""
        return f"{self.metric} {self.only}".strip()


def places_of(unit: str, values: Iterable[float | None], *, judged: bool) -> int:
    """Decimals: two for a share, which few prompts resolve any finer, at most two for a rating."""
    if unit == "share":
        return 2
    return min(2, decimals(values)) if judged else decimals(values)


@dataclass(frozen=True)
class Comparison:
    """Arms on measures; an arm that was not asked for one measure may have others."""

    name: str
    arms: Sequence[str]
    measures: Sequence[Measure]

    @property
    def against(self) -> list[str]:
        """Arms that others are compared with."""
        return list(dict.fromkeys(name for measure in self.measures for name in measure.changes))


def read_scenarios(
    path: Path, about: Mapping[str, Metric], aspects: Mapping[str, ReadAspect]
) -> list[Comparison]:
    """Read the table `scenarios`, in the order of the experiment; the rest as in `ReadResults`.

    Raises:
        AlignlabError: it is missing or damaged.
    """

    def measured(rows: list[Row]) -> Measure:
        metric = rows[0]["metric"]
        return _measure(rows, about[metric], aspects.get(metric))

    rows = [finite(row) for row in tables.rows("scenarios", path)]
    made = []
    for name, found in groupby(rows, lambda row: row["scenario"]):
        measures = [measured(list(each)) for _, each in groupby(found, _of_measure)]
        arms = dict.fromkeys(arm for measure in measures for arm in measure.own)
        made.append(Comparison(name, list(arms), measures))
    return made


def _of_measure(row: Row) -> tuple[str, ...]:
    return row["label"], row["metric"], row["dataset"], row["category"]


def _measure(rows: list[Row], about: Metric, aspect: ReadAspect | None) -> Measure:
    changes: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["against"] is not None:
            changes.setdefault(row["against"], {})[row["arm"]] = row | {
                "mean_difference": row["difference"],
                "ci_low": row["difference_low"],
                "ci_high": row["difference_high"],
            }
    dataset, category = rows[0]["dataset"], rows[0]["category"]
    return Measure(
        **{key: rows[0][key] for key in ("label", "metric", "better")},
        dataset=dataset if category == "all" else f"{dataset}, {category}",
        unit=about.unit,
        aspect=aspect,
        own={row["arm"]: row for row in rows if row["against"] is None},
        changes=changes,
        description=about.description,
    )


def read_contrasts(
    path: Path, about: Mapping[str, Metric], aspects: Mapping[str, ReadAspect]
) -> list[Comparison]:
    """Read the table `contrasts`, in the order of the experiment; the rest as in `ReadResults`.

    Measures have no means of their own: every number is a difference.

    Raises:
        AlignlabError: it is missing or damaged.
    """
    found: dict[str, dict[tuple[str, ...], list[Row]]] = {}
    for row in map(finite, tables.rows("contrasts", path)):
        place = row["metric"], row["dataset"], row["category"]
        found.setdefault(row["contrast"], {}).setdefault(place, []).append(row)
    return [
        Comparison(
            name,
            list(dict.fromkeys(row["arm_a"] for rows in tests.values() for row in rows)),
            [_contrasted(rows, about[metric], aspects) for (metric, *_), rows in tests.items()],
        )
        for name, tests in found.items()
    ]


def _contrasted(rows: list[Row], about: Metric, aspects: Mapping[str, ReadAspect]) -> Measure:
    """One metric on one dataset and category; its label says which where its meaning differs."""
    dataset, category, metric = (rows[0][key] for key in ("dataset", "category", "metric"))
    changes: dict[str, dict[str, Row]] = {}
    for row in rows:
        changes.setdefault(row["arm_b"], {})[row["arm_a"]] = row
    ways = about.by_category or {}
    return Measure(
        label=f"{about.label}, {category}" if category in ways else about.label,
        metric=metric,
        dataset=dataset if category in ways else slice_name(dataset, category),
        better=ways.get(category, about.better),
        unit=about.unit,
        aspect=aspects.get(metric),
        own={},
        changes=changes,
        description=about.description,
    )


def slice_name(dataset: str, category: str) -> str:
    """What a slice of the prompts is called."""
    if dataset == "all":
        return "all prompts" if category == "all" else category
    return dataset if category == "all" else f"{dataset}, {category}"


def parts(about: Metric, kinds: Collection[str], category: str) -> Iterator[MetricPart]:
    """A slice as a metric is shown on it: by category where its meaning differs between them.

    Args:
        about: definition of the metric.
        kinds: categories of the prompts of the slice's dataset.
        category: of the slice; `all` is split where there are several.
    """
    ways = about.by_category or {}
    found = [kind for kind in ways if kind in kinds and category in ("all", kind)]
    if len(found) > 1:
        for kind in found:
            yield MetricPart(kind, f"{about.label}, {kind}", ways[kind])
    else:
        yield MetricPart(category, about.label, ways[found[0]] if found else about.better)


def measures_of(
    metrics: Mapping[str, Metric],
    aspects: Mapping[str, ReadAspect],
    main: Sequence[str],
    estimates: Grids,
    differences: Grids,
    baseline: str,
    kinds: Collection[str],
    dataset: str = "all",
    category: str = "all",
) -> list[Measure]:
    """The measures of one slice of the prompts, every arm against the baseline.

    Args:
        metrics: name → definition, of the metrics that are wanted.
        aspects: as in `ReadResults`.
        main: those of the first view.
        estimates: (dataset, category) → arm → metric → row of `statistics`.
        differences: (dataset, category) → arm → metric → row of `comparisons` with the baseline.
        baseline: the arm that others are compared with.
        kinds: categories of the prompts of the slice's dataset.
        dataset: of the slice.
        category: of the slice.

    Returns:
        Those of which some arm has a row: a judge rates some kinds of prompts only. A metric whose
        meaning differs by category has a measure for each, never one of both.
    """
    made = []
    for metric, about in metrics.items():
        for part in parts(about, kinds, category):
            changed = _picked(differences.get((dataset, part.category), {}), metric)
            measure = Measure(
                label=part.label,
                metric=metric,
                dataset="all",
                better=part.better,
                unit=about.unit,
                aspect=aspects.get(metric),
                own=_picked(estimates.get((dataset, part.category), {}), metric),
                changes={baseline: changed} if changed else {},
                description=about.description,
                main=metric in main,
                only=part.category if part.category != category else "",
            )
            made += [measure] if measure.own else []
    return made


def _picked(grid: Grid, metric: str) -> dict[str, Row]:
    return {arm: cells[metric] for arm, cells in grid.items() if metric in cells}


def measures_in(results: ReadResults, dataset: str = "all", category: str = "all") -> list[Measure]:
    """The measures of one slice of the prompts."""
    return measures_of(
        {name: results.about[name] for name in results.metrics},
        results.aspects,
        results.main,
        results.estimates,
        results.differences,
        results.baseline,
        results.kinds(dataset),
        dataset,
        category,
    )


def measures_by_metric(results: ReadResults) -> list[Measure]:
    """A measure for each metric, of all prompts of its last category: its name, unit and places."""
    made = {measure.metric: measure for measure in measures_in(results)}
    return [replace(made[name], label=results.about[name].label) for name in made]


@dataclass(frozen=True)
class Finding:
    """One arm that differs from the baseline on one metric, in words."""

    direction: str
    arm: str
    change: str
    evidence: str


@dataclass(frozen=True)
class Headline:
    """One metric: the arms that differ, and what can be said about the rest (may be empty)."""

    label: str
    findings: list[Finding]
    rest: str


def headlines(results: ReadResults) -> list[Headline]:
    """One headline for each main metric that has comparisons over all prompts, findings first.

    A judge that is not qualified makes none.
    """
    made = []
    for metric in (name for name in results.main if not results.doubt(name)):
        for part in parts(results.about[metric], results.kinds("all"), "all"):
            cells = _picked(results.differences.get(("all", part.category), {}), metric)
            found = ((arm, cells.get(arm)) for arm in results.others)
            # A comparison is null where too few answers have a score.
            rows = {arm: row for arm, row in found if row and row["mean_difference"] is not None}
            if rows:
                moves = [row["mean_difference"] for row in rows.values()]
                judged = metric in results.aspects
                places = places_of(results.about[metric].unit, moves, judged=judged)
                made.append(_headline(part, rows, places))
    return sorted(made, key=lambda headline: not headline.findings)


def opening(results: ReadResults, made: list[Headline]) -> str:
    """The sentence above the headlines: how many metrics moved at all."""
    if not made:
        return f"There is nothing to compare with {results.baseline}."
    metrics = counted(len(made), "main metric")
    found = sum(bool(headline.findings) for headline in made)
    differs = f"differs significantly from {results.baseline}"
    if found:
        return f"At least one arm {differs} on {found} of {metrics}."
    return (
        f"No arm {differs} on any of {metrics}. That is no "
        "evidence of equality: each line gives the effect that this many prompts can detect."
    )


def _headline(part: MetricPart, rows: dict[str, Row], places: int) -> Headline:
    moved = [arm for arm, row in rows.items() if significant(row)]
    moved.sort(key=lambda arm: -abs(rows[arm]["mean_difference"]))
    still = [arm for arm in rows if arm not in moved]
    findings = [
        Finding(
            direction=direction(part.better, rows[arm]["mean_difference"]).capitalize(),
            arm=arm,
            change=signed(rows[arm]["mean_difference"], places),
            evidence=_evidence(rows[arm], places),
        )
        for arm in moved
    ]
    shown = power([rows[arm] for arm in still], places) if still else ""
    rest = f"No significant difference: {listed(still)} ({shown})." if still else ""
    return Headline(part.label, findings, rest)


def _evidence(row: Row, places: int) -> str:
    ends = interval(row["ci_low"], row["ci_high"], places, signed)
    return f"{ends}, {p_value(row['p_adjusted'])}, {sizes([row['n']])}"


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
    moved = [arm for arm, row in rows.items() if significant(row)]
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
        said.append(f"no significant difference in {listed(shown)} ({found})")
    return f"Against {against}: {'; '.join(said)}."


def _amount(row: Row, places: int) -> str:
    """`0.31 [0.22, 0.40]`: how far apart, where a word says in which direction."""
    low, high = sorted(abs(row[end]) for end in ("ci_low", "ci_high"))
    return f"{number(abs(row['mean_difference']), places)}\u00a0{interval(low, high, places)}"
