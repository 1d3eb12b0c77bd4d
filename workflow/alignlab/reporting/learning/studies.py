"""The study of discrimination against generation, as the page and the terminal show it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from alignlab.core import tables
from alignlab.core.tables import Row
from alignlab.reporting.arms.measures import significant
from alignlab.reporting.board import (
    Board,
    Cell,
    Column,
    RowHead,
    detectable,
    in_clusters,
    interval,
    number,
    p_value,
    signed,
)
from alignlab.reporting.inputs import finite

PLACES = 2
CHANCE = 0.5
ANSWER = "answer"
"""In the column `against`: the analysis is compared with the answering itself."""


@dataclass(frozen=True)
class Study:
    """One study of discrimination against generation: rows of `discrimination`, in order."""

    name: str
    arm: str
    rows: list[Row]


def read(path: Path) -> list[Study]:
    """Read the table `discrimination`.

    Raises:
        AlignlabError: it is missing or damaged.
    """
    rows = map(finite, tables.rows("discrimination", path))
    return [
        Study(name, arm, list(found))
        for (name, arm), found in groupby(rows, lambda row: (row["study"], row["arm"]))
    ]


def named(row: Row) -> str:
    """The other side of a comparison, in words."""
    return "the answer" if row["against"] == ANSWER else row["against"]


def share(row: Row, key: str, low: str, high: str) -> str:
    """`0.71 [0.60, 0.80]`; a dash where there is no value."""
    if row[key] is None:
        return "–"
    return f"{number(row[key], PLACES)} {interval(row[low], row[high], PLACES)}".rstrip()


def difference(row: Row) -> str:
    """`+0.12 [+0.02, +0.22] p = .010`; no p-value where a side is right by definition."""
    if row["difference"] is None:
        return "–"
    ends = interval(row["difference_low"], row["difference_high"], PLACES, signed)
    tested = "" if row["p_adjusted"] is None else p_value(row["p_adjusted"])
    return " ".join(filter(None, (signed(row["difference"], PLACES), ends, tested)))


def differs(row: Row) -> bool:
    """Whether a difference is significant, as anywhere in the report."""
    ends = {"ci_low": row["difference_low"], "ci_high": row["difference_high"]}
    return significant({**row, **ends})


COLUMNS = (
    Column("Against", classes="wordy"),
    Column("Answers", classes="wordy"),
    *map(Column, ("n", "Unclear", "Analysis right", "Other right", "Difference")),
    *map(Column, ("Win / tie / loss", "Balanced accuracy")),
)


def board(study: Study) -> Board:
    """The study's table."""
    return Board(study.name, "Analysis", COLUMNS, [_row(row) for row in study.rows], "narrow study")


def _row(row: Row) -> tuple[RowHead, list[Cell]]:
    part = "" if row["slice"] == "all" else "part"
    own = row["against"] == ANSWER
    cells = [
        Cell(named(row)),
        Cell(row["slice"]),
        Cell(str(row["n"]), tip=f"{row['coverage']:.0%} of these answers{in_clusters(row)}"),
        Cell(str(row["unclear"])),
        Cell(share(row, "right", "right_low", "right_high")),
        Cell(share(row, "against_right", "against_low", "against_high")),
        Cell(difference(row), classes="significant" if differs(row) else ""),
        Cell(f"{row['wins']} / {row['ties']} / {row['losses']}"),
        Cell(share(row, "balanced_accuracy", "balanced_low", "balanced_high") if own else ""),
    ]
    return RowHead(row["analysis"], lines=(row["ask"],), classes=part), cells


def reading(study: Study) -> list[str]:
    """What the study shows over all answers, a sentence a comparison."""
    return [
        _against_answers(row) if row["against"] == ANSWER else _against_analysis(row)
        for row in study.rows
        if row["slice"] == "all" and row["difference"] is not None
    ]


def _against_answers(row: Row) -> str:
    said = (
        f"{row['analysis']} ({row['ask']}) is right about {row['right']:.0%} of {row['n']} "
        f"answers{in_clusters(row)}, of which {row['against_right']:.0%} are fine: {_way(row)}."
    )
    if row["balanced_low"] is None:  # of one cluster there is no interval
        return said
    balanced = share(row, "balanced_accuracy", "balanced_low", "balanced_high")
    above = row["balanced_low"] > CHANCE
    verdict = (
        "above"
        if above
        else "not significantly different from"
        if row["balanced_high"] > CHANCE
        else "below"
    )
    return f"{said} Its balanced accuracy is {balanced}, {verdict} 0.5, that of a constant verdict."


def _against_analysis(row: Row) -> str:
    return f"{row['analysis']} ({row['ask']}) against {row['against']}: {_way(row)}."


def _way(row: Row) -> str:
    if differs(row):
        return f"right {'more' if row['difference'] > 0 else 'less'} often, {difference(row)}"
    effect = detectable(row["minimum_detectable_effect"], PLACES)
    return "; ".join(filter(None, (f"no significant difference, {difference(row)}", effect)))
