"""The figures of token shift, arranged as those of Lin et al. (2023, arXiv 2312.01552, §2).

Token text comes from a model: it is drawn as text, never as mathematics, and what cannot be seen is
spelled out.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from alignlab.core import tables
from alignlab.core.tables import Row
from alignlab.reporting.arms.figures import ON_COLOUR, ROW, WIDTH, bare, save
from alignlab.shift.categories import CATEGORIES
from alignlab.shift.config import PairCard

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

CLASSES = {"unshifted": "#b9bcc0", "marginal": "#e69f00", "shifted": "#cc79a7"}
# Pairs differ by colour and by mark.
STYLES = tuple(
    zip(("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"), "os^DvP", strict=True)
)
CURVES = {
    "kl_aligned_base": "KL(aligned ‖ base), nats",
    "base_rank_mean": "mean base rank",
    "base_probability": "base probability",
}
MARKS = {"\n": "⏎", " ": "·", "\t": "⇥"}
TOP_TOKENS, PANELS, LONGEST = 25, 3, 18
# Positions that a smaller share of a pair's answers reach are noise, and are not drawn; later ones
# are drawn as means, with mean bounds, of this many groups per factor of ten.
REACHED, STEPS = 0.05, 16


class DrawnPair(NamedTuple):
    """One line of every legend, with its rows of each table."""

    label: str
    colour: str
    mark: str
    rows: dict[str, list[Row]]


def draw_shift(folder_of_tables: Path, pairs: Sequence[PairCard], folder: Path) -> dict[str, Path]:
    """Draw every figure as `<folder>/<name>.svg`; none if no pair has a token.

    Args:
        folder_of_tables: where `summarise_shift` wrote its tables.
        pairs: in order of display.
        folder: where the figures go.

    Returns:
        Name of the figure → its file: `shift_shares`, `shift_curves`, `shifted_tokens`,
        `shift_categories` and `shift_confidence`, in order of display.

    Raises:
        AlignlabError: a table is missing or damaged.
    """
    found = {table: _by_pair(folder_of_tables, table) for table in SHOWN}
    shown = [
        DrawnPair(
            f"{pair.name}, {pair.template} template",
            *STYLES[place % len(STYLES)],
            {table: rows.get(pair.name, []) for table, rows in found.items()},
        )
        for place, pair in enumerate(pairs)
        if pair.name in found["shift_statistics"]
    ]
    figures = ((name, figure(shown)) for name, figure in FIGURES.items() if shown)
    return save(figures, folder)


def visible(text: str) -> str:
    """A token's text with its spaces, line ends and invisible characters spelled out, cut short."""
    shown = "".join(MARKS.get(character) or _spelled(character) for character in text)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def _spelled(character: str) -> str:
    hidden = unicodedata.category(character)[0] in "CZM"
    return f"\\u{ord(character):04x}" if hidden else character


def _by_pair(folder: Path, table: str) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in tables.rows(table, folder / f"{table}.parquet"):
        if SHOWN[table].items() <= row.items():
            rows[row["pair"]].append(row)
    return dict(rows)


def shares(pairs: Sequence[DrawnPair]) -> Figure:
    """Unshifted, marginal and shifted tokens, stacked, with the interval of the shifted share."""
    figure = Figure(figsize=(WIDTH, 1.4 * ROW * len(pairs) + 0.8))
    axes = figure.subplots()
    bare(axes, [pair.label for pair in pairs])
    axes.set_xlim(0, 1.16)
    _percent(axes.xaxis)
    left = [0.0] * len(pairs)
    cells = [{row["metric"]: row for row in pair.rows["shift_statistics"]} for pair in pairs]
    for name, colour in CLASSES.items():
        widths = [cell[name]["value"] for cell in cells]
        bars = axes.barh(range(len(pairs)), widths, 0.66, left, color=colour, label=name)
        labels = [f"{width:.1%}" if width >= 0.04 else "" for width in widths]
        axes.bar_label(bars, labels, label_type="center", color=ON_COLOUR, fontsize=8)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for place, row in enumerate(cell["shifted"] for cell in cells):
        text = f"{row['value']:.1%} shifted"
        if row["ci_low"] is not None:
            text += f"\n{row['ci_low']:.1%} to {row['ci_high']:.1%}"
            ends = [1 - row["ci_low"], 1 - row["ci_high"]]
            axes.plot(ends, [place] * 2, "|-", color=ON_COLOUR, linewidth=1, markersize=6)
        axes.text(1.012, place, text, va="center", fontsize=8)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0, handlelength=1)
    return figure


def curves(pairs: Sequence[DrawnPair]) -> Figure:
    """Divergence, rank and probability by position, with 95% bands, over a strip of n."""
    figure = Figure(figsize=(WIDTH, 3.5))
    panels = figure.subplots(2, len(CURVES), sharex=True, height_ratios=(5, 1))
    for (metric, title), axes, strip in zip(CURVES.items(), *panels, strict=True):
        _panel(axes, title)
        _panel(strip, "")
        for pair in pairs:
            _curve(axes, strip, pair, metric)
        # The first tokens are what this is about.
        strip.set(xscale="log", ylim=(0, None), xlabel="position in the answer, from 1")
        strip.xaxis.set_major_formatter("{x:g}")
        strip.set_ylabel("answers", fontsize=8)
    panels[0, 1].set_yscale("log")
    panels[0, 1].yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    panels[0, 1].yaxis.set_major_formatter("{x:g}")
    panels[0, 0].set_ylim(bottom=0)
    _percent(panels[0, 2].yaxis)
    _legend(figure, pairs)
    return figure


def _curve(axes: Axes, strip: Axes, pair: DrawnPair, metric: str) -> None:
    rows = [row for row in pair.rows["shift_curves"] if row["metric"] == metric]
    rows = [row for row in rows if row["n"] >= REACHED * rows[0]["n"]]
    place, n, value, low, high = (
        np.array([row[name] for row in rows], float)
        for name in ("position", "n", "value", "ci_low", "ci_high")
    )
    place += 1
    steps = np.unique(np.round(STEPS * np.log10(place)), return_inverse=True)[1]
    total = np.bincount(steps, n)
    x, middle, bottom, top = (
        np.bincount(steps, n * values) / total for values in (place, value, low, high)
    )
    axes.fill_between(x, bottom, top, color=pair.colour, alpha=0.22, linewidth=0)
    axes.plot(x, middle, color=pair.colour, linewidth=1.1, marker=pair.mark, markersize=2.5)
    strip.plot(place, n, color=pair.colour, linewidth=1.1)


def top_tokens(pairs: Sequence[DrawnPair]) -> Figure:
    """The tokens most often shifted: how often, and how far above their share of all tokens."""
    columns = min(len(pairs), PANELS)
    rows = -(-len(pairs) // columns)
    longest = max(len(pair.rows["shifted_tokens"][:TOP_TOKENS]) for pair in pairs)
    figure = Figure(figsize=(WIDTH, rows * (0.19 * longest + 0.6)))
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, pair in zip(panels, pairs, strict=False):
        _token_panel(axes, pair, longest)
    for axes in panels[len(pairs) :]:
        axes.set_axis_off()
    return figure


def _token_panel(axes: Axes, pair: DrawnPair, places: int) -> None:
    found = pair.rows["shifted_tokens"][:TOP_TOKENS]
    counts = [row["shifted"] for row in found]
    axes.barh(range(len(found)), counts, 0.62, color=pair.colour, alpha=0.75)
    axes.set_title(pair.label, fontsize=9, parse_math=False)
    end = max(counts, default=1)
    axes.set(ylim=(places - 0.4, -0.6), xlim=(0, 1.3 * end), xticks=[])
    labels = [visible(row["token"]) for row in found]
    axes.set_yticks(range(len(found)), labels, fontsize=8, parse_math=False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    for place, row in enumerate(found):
        text = f"{row['shifted']:,} · ×{row['lift']:.{0 if row['lift'] >= 10 else 1}f}"
        axes.text(row["shifted"] + end / 60, place, text, va="center", fontsize=7.5)


def categories(pairs: Sequence[DrawnPair]) -> Figure:
    """How often tokens of each kind shift, and how much of the divergence they carry."""
    cells = [
        {row["token_category"]: row for row in pair.rows["shift_categories"]} for pair in pairs
    ]
    names = [name for name in CATEGORIES if any(name in cell for cell in cells)]
    figure = Figure(figsize=(WIDTH, len(names) * (0.16 + 0.08 * len(pairs)) + 0.9))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, title in ((left, "shifted tokens"), (right, "share of all KL(aligned ‖ base)")):
        bare(axes, [name.replace("_", " ") for name in names])
        axes.set_title(title)
        _percent(axes.xaxis)
        axes.grid(axis="x")
    for number, (pair, cell) in enumerate(zip(pairs, cells, strict=True)):
        for row in cell.values():
            place = names.index(row["token_category"]) + 0.7 * (
                number - (len(pairs) - 1) / 2
            ) / len(pairs)
            if row["ci_low"] is not None:
                left.plot([row["ci_low"], row["ci_high"]], [place] * 2, color=pair.colour)
            left.plot(row["shifted_rate"], place, pair.mark, color=pair.colour, markersize=4.5)
            right.barh(place, row["share_of_kl"] or 0, 0.7 / len(pairs), color=pair.colour)
    left.set_xlim(left=0)
    right.set_xlim(left=0)
    _legend(figure, pairs)
    return figure


def confidence(pairs: Sequence[DrawnPair]) -> Figure:
    """Disagreement by the base model's top probability, and how many tokens have which."""
    figure = Figure(figsize=(WIDTH, 3.2))
    left, right = figure.subplots(1, 2)
    _panel(left, "tokens that are not the base model's first choice")
    _panel(right, "share of tokens")
    width = 0.08 / len(pairs)
    for number, pair in enumerate(pairs):
        rows = [row for row in pair.rows["shift_confidence"] if row["tokens"]]
        for row in rows:
            place = (row["low"] + row["high"]) / 2 + width * (number - (len(pairs) - 1) / 2)
            if row["ci_low"] is not None:
                left.plot([place] * 2, [row["ci_low"], row["ci_high"]], color=pair.colour)
            left.plot(place, row["disagreement"], pair.mark, color=pair.colour, markersize=4.5)
            right.bar(place, row["share"], width, color=pair.colour)
    for axes in (left, right):
        axes.set(xlim=(0, 1), ylim=(0, None), xlabel="top probability of the base model")
        axes.set_xticks([tenth / 10 for tenth in range(0, 11, 2)])
        _percent(axes.yaxis)
    _legend(figure, pairs)
    return figure


def _panel(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.grid(axis="y")
    axes.spines[["top", "right"]].set_visible(False)


def _percent(axis: Axis) -> None:
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g}%"))


def _legend(figure: Figure, pairs: Sequence[DrawnPair]) -> None:
    lines = [Line2D([], [], color=pair.colour, marker=pair.mark, ms=4.5) for pair in pairs]
    legend = figure.legend(lines, [""] * len(pairs), loc="outside upper left", ncols=3)
    for text, pair in zip(legend.get_texts(), pairs, strict=True):
        text.set(text=pair.label, parse_math=False)


FIGURES: dict[str, Callable[[Sequence[DrawnPair]], Figure]] = {
    "shift_shares": shares,
    "shift_curves": curves,
    "shifted_tokens": top_tokens,
    "shift_categories": categories,
    "shift_confidence": confidence,
}
WHOLE = {"category": "all", "dataset": "all", "eos": "with", "weighting": "pooled"}
SHOWN: dict[str, dict[str, str]] = {
    "shift_statistics": WHOLE,
    "shift_curves": {"category": "all", "answers": "all"},
    "shifted_tokens": {},
    "shift_categories": {},
    "shift_confidence": {},
}
"""Table → what its rows must hold to be drawn."""
