"""Radars of judged aspects: an axis an aspect, a polygon an arm, a band for its 95% interval.

Arms differ in colour (Okabe and Ito's) and in marker. A judge that is not qualified is drawn in
grey, and an aspect that it is not qualified for carries a question mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from alignlab.reporting.arms.figures import FAINT, GREY, WIDTH
from alignlab.reporting.arms.measures import Comparison, Measure
from alignlab.reporting.board import limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
MARKERS = ("o", "s", "^", "D")
# More polygons than these hide one another.
TOGETHER, COLUMNS = len(COLOURS), 5
# Inches of a single radar, to be read on a telephone too.
NARROW = 5.6
# A radar needs three axes.
AXES = 3


def draw(judge: Comparison, baseline: str) -> Iterator[tuple[str, Figure]]:
    """A radar for every scale of a judge, named `judged-<judge>-<unit>`."""
    for unit in dict.fromkeys(measure.unit for measure in judge.measures):
        measures = [measure for measure in judge.measures if measure.unit == unit]
        arms = [arm for arm in judge.arms if any(_drawn(m, arm) for m in measures)]
        if len(measures) >= AXES and arms and limits(unit):
            yield f"judged-{judge.name}-{unit}", radars(measures, arms, baseline)


def radars(measures: Sequence[Measure], arms: list[str], baseline: str) -> Figure:
    """All arms in one radar; one for each, with the baseline behind, where they are many."""
    if len(arms) > TOGETHER:
        return _multiples(measures, arms, baseline)
    figure = Figure(figsize=(NARROW, 4.4))
    axes = _axes(figure.add_subplot(projection="polar"), measures)
    _name_axes(axes, measures, 9)
    for arm, colour, marker in zip(arms, COLOURS, MARKERS, strict=False):
        _polygon(axes, measures, arm, colour, marker)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _multiples(measures: Sequence[Measure], arms: list[str], baseline: str) -> Figure:
    """The first arm twice as wide, since it alone has room for names; the order is the same."""
    rows = -(-(len(arms) + 1) // COLUMNS)
    figure = Figure(figsize=(WIDTH, 2.3 * rows))
    grid = figure.add_gridspec(rows, COLUMNS)
    cells = [grid[0, :2], *(grid[divmod(place, COLUMNS)] for place in range(2, len(arms) + 1))]
    for arm, cell in zip(arms, cells, strict=True):
        axes = _axes(figure.add_subplot(cell, projection="polar"), measures)
        if arm == arms[0]:
            _name_axes(axes, measures, 8)
        axes.set_title(arm, loc="center")
        mean = _closed(_values(measures, baseline, "mean"))
        axes.plot(_closed(_angles(len(measures))), mean, ":", color=GREY, linewidth=1.2)
        _polygon(axes, measures, arm, COLOURS[0], MARKERS[0])
    return figure


def _axes(drawn: Axes, measures: Sequence[Measure]) -> PolarAxes:
    """The first aspect on top, the rest clockwise; the rim is the best of the scale."""
    axes = cast(PolarAxes, drawn)
    low, high = limits(measures[0].unit) or (0.0, 1.0)
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_rlim(low, high)
    axes.set_rticks(np.linspace(low, high, 5), [])
    axes.set_xticks(_angles(len(measures)), [])
    axes.spines["polar"].set_color(FAINT)
    return axes


def _name_axes(axes: PolarAxes, measures: Sequence[Measure], size: float) -> None:
    angles = _angles(len(measures))
    labels = [f"{each.label} ?" if each.doubt else each.label for each in measures]
    axes.set_xticks(angles, labels, fontsize=size)
    for text, side in zip(axes.get_xticklabels(), np.sin(angles), strict=True):
        text.set_horizontalalignment(
            "center" if abs(side) < 0.1 else "left" if side > 0 else "right"
        )
    rings = axes.get_yticks()
    axes.set_rticks(rings, [f"{ring:g}" for ring in rings], fontsize=size - 1.5)
    axes.set_rlabel_position(180 / len(measures))


def _polygon(
    axes: PolarAxes, measures: Sequence[Measure], arm: str, colour: str, marker: str
) -> None:
    angles = _closed(_angles(len(measures)))
    shade = GREY if all(measure.doubt for measure in measures) else colour
    mean, low, high = (
        _closed(_values(measures, arm, key)) for key in ("mean", "ci_low", "ci_high")
    )
    axes.fill_between(angles, low, high, color=shade, alpha=0.18, linewidth=0)
    (line,) = axes.plot(angles, mean, marker=marker, markersize=4.5, color=shade, linewidth=1.5)
    # A mean at the end of the scale is on the rim.
    line.set(label=arm, clip_on=False)


def _angles(count: int) -> np.ndarray:
    return np.linspace(0, 2 * np.pi, count, endpoint=False)


def _values(measures: Sequence[Measure], arm: str, key: str) -> np.ndarray:
    """NaN where there is no mean: the polygon is open there."""
    found = [measure.own[arm][key] if arm in measure.own else None for measure in measures]
    return np.array(found, dtype=float)


def _closed(values: np.ndarray) -> np.ndarray:
    return np.append(values, values[:1])


def _drawn(measure: Measure, arm: str) -> bool:
    return arm in measure.own and measure.own[arm]["mean"] is not None
