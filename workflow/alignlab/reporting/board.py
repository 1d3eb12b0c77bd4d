"""Tables as people read them: how numbers are written, and the view model of page and terminal.

`assets/macros.html` and `summary` draw it. Everything is decided here: texts, tooltips, marks, what
a column sorts by. The page's script only sorts rows and toggles panels; the terminal leaves out
tooltips and tracks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MINUS = "\u2212"
NOTHING = "–"


def decimals(values: Iterable[float | None]) -> int:
    """Decimals that give the largest of `values` about three significant digits."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    return 0 if largest >= 100 else 1 if largest >= 10 else 2 if largest >= 1 else 3


def number(value: float | None, places: int) -> str:
    """`−0.012`; a dash where there is no value, and never a negative zero."""
    if value is None:
        return "–"
    return f"{round(value, places) + 0.0:.{places}f}".replace("-", MINUS)


def signed(value: float | None, places: int) -> str:
    """A difference: `+0.120`, `−0.012`, and `0.000` for one that rounds to nothing."""
    if value is None:
        return "–"
    return ("+" if round(value, places) > 0 else "") + number(value, places)


def p_value(value: float | None) -> str:
    """`p = .031`, `p < .001`, with spaces that do not break."""
    if value is None:
        return "p undefined"
    if value < 0.001:
        return "p\u00a0<\u00a0.001"
    shown = "1" if value > 0.9995 else f"{value:.3f}".removeprefix("0")
    return f"p\u00a0=\u00a0{shown}"


def share(value: float) -> str:
    """`62%`, rounded down: a share below one is never shown as 100%."""
    return f"{math.floor(100 * value + 1e-9)}%"


def interval(
    low: float | None,
    high: float | None,
    places: int,
    shown: Callable[[float, int], str] = number,
) -> str:
    """`[0.42, 0.58]`, of a difference `signed`, unbroken; nothing where an end is missing."""
    if low is None or high is None:
        return ""
    return f"[{shown(low, places)},\u00a0{shown(high, places)}]"


def direction(better: str, difference: float) -> str:
    """`better` or `worse`; only `higher` or `lower` where no direction is better."""
    if better == "none":
        return "higher" if difference > 0 else "lower"
    return "better" if (difference > 0) == (better == "higher") else "worse"


def sizes(counts: Collection[int]) -> str:
    """`n = 36`, `n = 24–1,200`: the smallest and the largest, with spaces that do not break."""
    ends = sorted({min(counts), max(counts)})
    return "n\u00a0=\u00a0" + "–".join(f"{end:,}" for end in ends)


def in_clusters(row: Mapping[str, Any], prompts: str = "n") -> str:
    """` in 20 clusters`, of prompts that are not all independent; else nothing.

    `prompts` is the column with their number.
    """
    few = row["clusters"] < row[prompts]
    return f" in {counted(row['clusters'], 'cluster')}" if few else ""


def detectable(effect: float | None, places: int) -> str:
    """`minimum detectable effect 0.20 at 80% power`, of one test; nothing where it is not known.

    Holm's adjustment asks more of a difference the more others stand beside it.
    """
    if effect is None:
        return ""
    return f"minimum detectable effect {number(effect, places)} at 80% power, unadjusted"


def power(rows: Collection[Mapping[str, Any]], places: int) -> str:
    """`n = 36; minimum detectable effect 0.20 …`: for the row that needs the most."""
    found = [row["minimum_detectable_effect"] for row in rows]
    largest = max((value for value in found if value is not None), default=None)
    n = sizes([row["n"] for row in rows])
    return "; ".join(filter(None, (n, detectable(largest, places))))


def limits(unit: str) -> tuple[float, float] | None:
    """Ends of the scale that a unit such as `share` or `1-5` names; null if it names none."""
    if unit == "share":
        return 0.0, 1.0
    found = re.fullmatch(r"(\d+)[-–](\d+)", unit)
    return (float(found[1]), float(found[2])) if found else None


def duration(seconds: float) -> str:
    """`8.2 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )


def settings(values: Mapping[str, Any]) -> str:
    """`k 3, prompt urial/constant.yaml`: keys that say something, without the kind."""
    said = {key: value for key, value in values.items() if key != "kind" and value is not None}
    return ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in said.items())


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def listed(items: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last


def counted(count: int, noun: str) -> str:
    """`1 arm`, `1,200 answers`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


@dataclass(frozen=True)
class Cell:
    """One number with its interval.

    Attributes:
        text: the number.
        range: its interval.
        marks: a sign for each arm that it differs from significantly, a space for every other.
        lines: what stands below, as (class, text).
        tip: its tooltip.
        classes: of the cell: `best`, `faint`, `untrusted`, `none`, …
        sort: what its column is sorted by.
        track: where value, interval and zero lie in the column's scale, in percent.
        style: CSS variables of the cell.
        bar: parts of a whole, as (class, share).
    """

    text: str = NOTHING
    range: str = ""
    marks: str = ""
    lines: Sequence[tuple[str, str]] = ()
    tip: str = ""
    classes: str = ""
    sort: float | None = None
    track: Mapping[str, float] = field(default_factory=dict)
    style: str = ""
    bar: Sequence[tuple[str, float]] = ()

    @property
    def track_style(self) -> str:
        """The track as CSS variables."""
        return "; ".join(f"--{name}: {at:.1f}%" for name, at in self.track.items())


EMPTY = Cell(classes="none")


@dataclass(frozen=True)
class Column:
    """A column's heading; with a `key` it can be sorted by, in `first` direction first."""

    label: str
    lines: Sequence[str] = ()
    tip: str = ""
    classes: str = ""
    key: str = ""
    first: str = "descending"


@dataclass(frozen=True)
class RowHead:
    """A row's heading; `role` is that of an arm's model."""

    name: str
    lines: Sequence[str] = ()
    tag: str = ""
    tip: str = ""
    role: str = ""
    classes: str = ""


@dataclass(frozen=True)
class Board:
    """A table; `corner` heads its first column, `label` says what it is."""

    label: str
    corner: str
    columns: Sequence[Column]
    rows: Sequence[tuple[RowHead, Sequence[Cell]]]
    classes: str = ""


@dataclass(frozen=True)
class Panel:
    """One of several tables that share a place, by its choices on their axes."""

    choices: Sequence[str]
    board: Board | None
    note: str = ""
    footnotes: Sequence[str] = ()


@dataclass(frozen=True)
class Panels:
    """Tables that share a place; `more` names the choices between main and all columns, if any."""

    name: str
    axes: Sequence[str]
    panels: Sequence[Panel]
    more: Sequence[str] = ()


def footnotes(doubts: Mapping[str, Sequence[str]]) -> list[str]:
    """Why columns are grey, a line a reason; of reason → labels."""
    return [f"? {listed(labels)}: {reason}." for reason, labels in doubts.items()]
