"""Cells of a scenario's tables: text, tooltip, and where the interval lies in its column's scale.

snakemake --cores 2 results/lfm-demo/report/index.html --config experiment=lfm-demo
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from alignlab.core.tables import Row
from alignlab.reporting.formats import (
    direction,
    interval,
    limits,
    listed,
    number,
    p_value,
    share,
    signed,
)
from alignlab.reporting.headlines import distinguishable
from alignlab.reporting.scenarios import Measure, Scenario

Scale = tuple[float, float]


@dataclass(frozen=True)
class Cell:
    """One number with its interval; positions are percent of the column's scale."""

    text: str = "–"
    range: str = ""
    remark: str = ""
    tip: str = ""
    faint: bool = False
    track: dict[str, float] | None = None

    @property
    def style(self) -> str:
        """The track as CSS variables."""
        return "; ".join(f"--{name}: {at:.1f}%" for name, at in (self.track or {}).items())


@dataclass(frozen=True)
class View:
    """One way to show a scenario: rows of (arm, a cell a measure)."""

    label: str
    differences: bool
    rows: list[tuple[str, list[Cell]]]


def views(scenario: Scenario) -> list[View]:
    """The means, then the differences from each arm that others are compared with."""
    found = [_view(scenario, "values", [measure.own for measure in scenario.measures])]
    for against in scenario.against:
        columns = [measure.changes.get(against, {}) for measure in scenario.measures]
        found.append(_view(scenario, f"difference from {against}", columns))
    return found


def _view(scenario: Scenario, label: str, columns: list[dict[str, Row]]) -> View:
    changes = label != "values"
    draw = _change if changes else _mean
    arms = [arm for arm in scenario.arms if any(arm in rows for rows in columns)]
    cells = []
    for measure, rows in zip(scenario.measures, columns, strict=True):
        scale = _scale(rows.values(), measure, zero=changes)
        cells.append([draw(rows[arm], measure, scale) if arm in rows else Cell() for arm in arms])
    by_arm = zip(*cells, strict=True)
    return View(label, changes, list(zip(arms, map(list, by_arm), strict=True)))


def _mean(row: Row, measure: Measure, scale: Scale) -> Cell:
    if row["mean"] is None:
        return _refused(row, measure)
    places = measure.places
    covered = "" if row["coverage"] >= 1 else f", {share(row['coverage'])} of answers"
    return Cell(
        text=number(row["mean"], places),
        range=interval(row["ci_low"], row["ci_high"], places),
        remark="" if measure.doubt else _remark(measure, row["arm"]),
        tip=f"mean over {row['n']} prompts{covered}; 95% interval",
        faint=bool(measure.doubt),
        track=_track([row["mean"], row["ci_low"], row["ci_high"]], scale),
    )


def _refused(row: Row, measure: Measure) -> Cell:
    """A judge's mean over too few answers is not shown, and never as zero."""
    if measure.aspect is None or row["coverage"] is None:
        return Cell(tip="no prompt has a value")
    covered, needed = share(row["coverage"]), share(measure.aspect.min_coverage)
    tip = f"the judge scored {covered} of the answers; a mean needs {needed}"
    return Cell(text="", remark=f"coverage {covered}", tip=tip)


def _remark(measure: Measure, arm: str) -> str:
    """`better than untuned`, `better than both`: what the arm is told apart from, and how."""
    compared = {name: rows[arm] for name, rows in measure.changes.items() if arm in rows}
    found: dict[str, list[str]] = {}
    for against, row in compared.items():
        if distinguishable(row):
            found.setdefault(direction(measure.better, row["mean_difference"]), []).append(against)
    whole = {1: "", 2: "both"}.get(len(compared), f"all {len(compared)}")
    return "; ".join(
        f"{word} than {whole if whole and len(names) == len(compared) else listed(names)}"
        for word, names in found.items()
    )


def _change(row: Row, measure: Measure, scale: Scale) -> Cell:
    if row["mean_difference"] is None:
        return Cell(tip="too few prompts have both values")
    places = measure.change_places
    ends = interval(row["ci_low"], row["ci_high"], places, signed)
    detectable = row["minimum_detectable_effect"]
    power = "" if detectable is None else f"\nfound with 80% power, alone: {detectable:.2g}"
    return Cell(
        text=signed(row["mean_difference"], places),
        range=f"{ends} {p_value(row['p_adjusted'])}",
        tip=f"{row['n']} pairs · {row['test']}, p after Holm{power}",
        faint=bool(measure.doubt) or not distinguishable(row),
        track=_track([row["mean_difference"], row["ci_low"], row["ci_high"]], scale, zero=True),
    )


def _scale(rows: Iterable[Row], measure: Measure, *, zero: bool) -> Scale:
    """Ends of a column's scale: those that a mean's unit names, else what the intervals need."""
    if not zero and (named := limits(measure.unit)):
        return named
    keys = ("mean_difference" if zero else "mean", "ci_low", "ci_high")
    ends = [row[key] for row in rows for key in keys if row[key] is not None]
    ends += [0.0] if zero or not ends else []
    return min(ends), max(ends)


def _track(
    values: list[float | None], scale: Scale, *, zero: bool = False
) -> dict[str, float] | None:
    """Percent of the column's width of the value, the interval and zero; none without interval."""
    found = [value for value in (*values, 0.0 if zero else scale[0]) if value is not None]
    if len(found) < len(values) + 1:
        return None
    low, high = scale
    places = (4 + 92 * (value - low) / (high - low or 1) for value in found)
    return dict(zip(("at", "low", "high", "zero"), places, strict=True))
