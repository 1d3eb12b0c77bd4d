"""The report's figures: SVG with real text, the same bytes for the same tables.

Colours are Okabe and Ito's, which stay apart under colour blindness; text is a mid grey that reads
on white and on black, because a transparent figure does not know its background.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from alignlab.core.tables import Row, replacing
from alignlab.core.templates import is_answer
from alignlab.reporting.arms.measures import Comparison, Measure, measures_in, significant
from alignlab.reporting.inputs import ReadResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The page repaints GREY text and HOLLOW dots in its own colours (base.css).
GREY, FAINT, ON_COLOUR, HOLLOW = "#7b7e84", "#7b7e8455", "#16181a", "#ffffff"
ROLES = {"base": "#0072b2", "aligned": "#d55e00"}
FINISH = {
    "stop": "#009e73",
    "eos": "#56b4e9",
    "length": "#e69f00",
    "error": "#cc79a7",
    "unknown": "#bbbbbb",
}
FINISH_LABEL = {
    "stop": "stop string",
    "eos": "end token",
    "length": "cut at the length limit",
    "error": "error",
    "unknown": "not published",
}
# Not the colours of base and aligned models.
AGAINST = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# Inches; three panels side by side.
WIDTH, ROW, LEGEND, PANEL_COLUMNS = 10.8, 0.3, 0.4, 3
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "alignlab",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.edgecolor": FAINT,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.12,
    "figure.constrained_layout.h_pad": 0.08,
}


def draw(results: ReadResults, folder: Path) -> dict[str, Path]:
    """Draw every figure that the tables allow, as `<folder>/<name>.svg`; returns name → path."""
    return save(_figures(results), folder)


def save(figures: Iterator[tuple[str, Figure]], folder: Path) -> dict[str, Path]:
    """Draw named figures, in the report's style, as `<folder>/<name>.svg`; returns name → path."""
    drawn = {}
    with mpl.rc_context(STYLE):
        for name, figure in figures:
            drawn[name] = folder / f"{name}.svg"
            with replacing(drawn[name]) as temporary:
                figure.savefig(temporary, format="svg", transparent=True, metadata={"Date": None})
    return drawn


def _figures(results: ReadResults) -> Iterator[tuple[str, Figure]]:
    compared = [measure for measure in measures_in(results) if measure.main and measure.changes]
    if compared:
        yield "differences", forest(results, compared)
    yield "finish", finish_reasons(results)
    yield "lengths", answer_lengths(results)


def forest(results: ReadResults, compared: list[Measure]) -> Figure:
    """Paired differences against the baseline, a panel a metric, with 95% intervals."""
    figure, panels = forest_panels(len(compared), results.others)
    for axes, measure in zip(panels, compared, strict=True):
        axes.set_title(f"{measure.label} ?" if measure.doubt else measure.label)
        axes.set_xlabel(difference_label(measure.unit, measure.better))
        for place, arm in enumerate(results.others):
            row = measure.changes[results.baseline].get(arm)
            draw_difference(axes, row, place, GREY if measure.doubt else ROLES[results.role(arm)])
    return figure


def scenario_forest(scenario: Comparison) -> Figure:
    """Paired differences: a panel a measure, a colour an arm that others are compared with."""
    compared = {arm for m in scenario.measures for rows in m.changes.values() for arm in rows}
    arms = [arm for arm in scenario.arms if arm in compared]
    figure, panels = forest_panels(len(scenario.measures), arms)
    steps = np.linspace(-0.17, 0.17, len(scenario.against)) if len(scenario.against) > 1 else [0]
    for axes, measure in zip(panels, scenario.measures, strict=True):
        axes.set_title(f"{measure.label} ?" if measure.doubt else measure.label)
        axes.set_xlabel(difference_label(measure.unit, measure.better))
        for against, step, colour in zip(scenario.against, steps, AGAINST, strict=False):
            for place, arm in enumerate(arms):
                row = measure.changes.get(against, {}).get(arm)
                shade = GREY if measure.doubt else colour
                draw_difference(axes, row, place + step, shade)
    labels = [f"minus {name}" for name in scenario.against]
    shown = AGAINST[: len(labels)]
    marks = [Line2D([], [], color=colour, marker="o", markersize=5.5) for colour in shown]
    figure.set_figheight(figure.get_figheight() + LEGEND)
    figure.legend(marks, labels, loc="outside upper left", ncols=len(labels), handlelength=1.4)
    return figure


def forest_panels(count: int, names: list[str]) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, three side by side, with a row a name and a line at zero."""
    rows = -(-count // PANEL_COLUMNS)
    figure = Figure(figsize=(WIDTH, rows * (ROW * len(names) + 0.75)))
    drawn = list(figure.subplots(rows, PANEL_COLUMNS, sharey=True, squeeze=False).flat)
    for axes in drawn[:count]:
        bare(axes, names)
        axes.axvline(0, color=GREY, linewidth=0.9)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    for axes in drawn[count:]:
        axes.set_axis_off()
    return figure, drawn[:count]


def draw_difference(axes: Axes, row: Row | None, place: float, colour: str) -> None:
    """A row of `comparisons`: dot and interval; the dot is hollow where not significant."""
    if row is None or row["ci_low"] is None:
        return
    axes.plot([row["ci_low"], row["ci_high"]], [place] * 2, color=colour, linewidth=1.6)
    axes.plot(row["mean_difference"], place, "o", color=colour, markersize=5.5)
    if not significant(row):
        axes.plot(row["mean_difference"], place, "o", color=HOLLOW, markersize=3.2, mew=0)


def difference_label(unit: str, better: str) -> str:
    """Label of an axis of differences: `difference, share · ← better`."""
    arrow = {"higher": " · better →", "lower": " · ← better", "none": ""}[better]
    return f"difference, {unit}{arrow}"


def finish_reasons(results: ReadResults) -> Figure:
    """How answers ended: shares of every arm's answers, stacked."""
    figure = Figure(figsize=(WIDTH, ROW * len(results.arms) + 0.8))
    axes = figure.subplots()
    bare(axes, results.names)
    counts = [Counter(row["finish_reason"] for row in results.rows(arm)) for arm in results.names]
    draw_shares(axes, counts, FINISH, FINISH_LABEL)
    return figure


def draw_shares(
    axes: Axes, counts: list[Counter[str]], colours: dict[str, str], labels: dict[str, str]
) -> None:
    """A bar a row, stacked to 100%: what of each kind, in the order of `colours`."""
    axes.set(xlim=(0, 1), xticks=[0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    left = np.zeros(len(counts))
    for kind in (kind for kind in colours if any(count[kind] for count in counts)):
        share = np.array([count[kind] / max(1, count.total()) for count in counts])
        bars = axes.barh(range(len(counts)), share, 0.66, left, color=colours[kind])
        bars.set_label(labels[kind])
        shown = [f"{value:.0%}" if value >= 0.06 else "" for value in share]
        axes.bar_label(bars, shown, label_type="center", color=ON_COLOUR, fontsize=8)
        left += share
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0, handlelength=1)


def answer_lengths(results: ReadResults) -> Figure:
    """Words per answer: each length a tick, the middle half a bar, the median a dot.

    A response that failed, or ended in its thoughts, is no answer of no words.
    """
    figure = Figure(figsize=(WIDTH, ROW * 1.25 * len(results.arms) + 0.55))
    axes = figure.subplots()
    bare(axes, results.names)
    axes.set_xlabel("words per answer")
    axes.grid(axis="x")
    for place, arm in enumerate(results.names):
        said = filter(is_answer, results.rows(arm))
        words = np.array([row["num_words"] for row in said], dtype=float)
        if not words.size:
            continue
        colour = ROLES[results.role(arm)]
        low, middle, high = np.quantile(words, [0.25, 0.5, 0.75])
        ticks = np.unique(words)
        axes.plot(ticks, np.full(ticks.size, place - 0.25), "|", color=colour, alpha=0.6, ms=5)
        axes.plot([low, high], [place + 0.1] * 2, color=colour, linewidth=5, alpha=0.55)
        axes.plot(middle, place + 0.1, "o", color=colour, markersize=6)
    axes.set_xlim(left=0)
    return figure


def bare(axes: Axes, names: list[str]) -> None:
    """One row a name, the first on top, without a frame."""
    axes.set(ylim=(len(names) - 0.5, -0.5), yticks=range(len(names)), yticklabels=names)
    axes.spines[["top", "right", "left"]].set_visible(False)
