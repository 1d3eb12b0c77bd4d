"""Win rates as the page shows them: a matrix for each judge and aspect, row against column.

    snakemake --cores 2 results/demo/report/index.html

A judge sees every two answers in both orders. A rate is told apart from a half under the
leaderboard's rule (`headlines.distinguishable`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alignlab.core import tables
from alignlab.core.tables import Row
from alignlab.reporting.formats import counted, p_value, share
from alignlab.reporting.headlines import distinguishable
from alignlab.reporting.results import finite

EVEN = 0.5
RATES = (("win_rate", "ci_low", "ci_high"), ("adjusted", "adjusted_low", "adjusted_high"))


@dataclass(frozen=True)
class Duel:
    """One cell: how often the row's arm wins; an even rate means nothing is told apart."""

    rate: str
    range: str
    lines: list[str]
    tip: str
    tint: float
    """How far the rate is from even, signed, 0 to ±1; 0 where it is not told apart."""


@dataclass(frozen=True)
class Matrix:
    """Every duel of one judge on one aspect."""

    judge: str
    aspect: str
    arms: list[str]
    cells: dict[tuple[str, str], Duel]
    """(row, column) → duel; each duel stands twice, the second time turned round."""


def read(path: Path) -> list[Matrix]:
    """Matrices of the table `winrates`, over all datasets, in the table's order.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    found: dict[tuple[str, str], list[Row]] = {}
    for row in map(finite, tables.rows("winrates", path)):
        if row["dataset"] == "all":
            found.setdefault((row["judge"], row["aspect"]), []).append(row)
    return [_matrix(judge, aspect, rows) for (judge, aspect), rows in found.items()]


def _matrix(judge: str, aspect: str, rows: list[Row]) -> Matrix:
    arms = dict.fromkeys(arm for row in rows for arm in (row["arm_a"], row["arm_b"]))
    cells = {}
    for row in rows:
        cells[row["arm_a"], row["arm_b"]] = duel(row)
        cells[row["arm_b"], row["arm_a"]] = duel(turned(row))
    return Matrix(judge, aspect, list(arms), cells)


def turned(row: Row) -> Row:
    """The same duel seen from the other arm."""
    other = {"arm_a": row["arm_b"], "arm_b": row["arm_a"]}
    other |= {"wins": row["losses"], "losses": row["wins"]}
    for rate, low, high in RATES:
        other |= {rate: _flipped(row[rate]), low: _flipped(row[high]), high: _flipped(row[low])}
    return {**row, **other}


def _flipped(value: float | None) -> float | None:
    return None if value is None else 1 - value


def duel(row: Row) -> Duel:
    """A row of `winrates` as a cell."""
    covered = [] if row["coverage"] >= 1 else [f"coverage {share(row['coverage'])}"]
    if row["win_rate"] is None:
        return Duel("–", "", covered, "no two answers were compared", 0.0)
    counts = f"{row['wins']} won · {row['ties']} tied · {row['losses']} lost"
    unsure = f"{row['inconsistent']} inconsistent"
    return Duel(
        rate=f"{row['win_rate']:.0%}",
        range=_range(row["ci_low"], row["ci_high"]),
        lines=[counts, unsure, _adjusted(row), _consistent(row), *covered],
        tip=f"{row['arm_a']} against {row['arm_b']}: {counted(row['n'], 'prompt')}, "
        f"{p_value(row['p_adjusted'])} (sign test, Holm)",
        tint=2 * (row["win_rate"] - EVEN) if told(row) else 0.0,
    )


def told(row: Row) -> bool:
    """Whether a win rate is told apart from a half, as anywhere in the report."""
    if row["ci_low"] is None or row["ci_high"] is None:
        return False
    ends = {"ci_low": row["ci_low"] - EVEN, "ci_high": row["ci_high"] - EVEN}
    return distinguishable({**row, **ends})


def _adjusted(row: Row) -> str:
    if row["adjusted"] is None:
        return "at equal length: no fit"
    return f"at equal length {row['adjusted']:.0%} " + _range(
        row["adjusted_low"], row["adjusted_high"]
    )


def _consistent(row: Row) -> str:
    known = row["consistency"] is not None
    return f"same verdict in both orders: {row['consistency']:.0%}" if known else ""


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{100 * low:.0f}, {100 * high:.0f}]"
