"""Tables as people read them: one view model, drawn by `assets/macros.html` and by `summary`.

    python -m pytest tests/reporting/arms/test_boards.py

Everything is decided here: texts, tooltips, marks, what a column sorts by. The page's script only
sorts rows and toggles panels; the terminal leaves out tooltips and tracks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from alignlab.reporting.wording import listed

NOTHING = "–"


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
class Head:
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
    rows: Sequence[tuple[Head, Sequence[Cell]]]
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
