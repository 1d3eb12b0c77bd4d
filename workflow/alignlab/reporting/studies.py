"""The study of discrimination against generation, as the page and the terminal show it.

snakemake --cores 2 results/lfm-demo/report/index.html --config experiment=lfm-demo
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from alignlab.core import tables
from alignlab.core.tables import Row
from alignlab.reporting.formats import interval, number, p_value, signed
from alignlab.reporting.headlines import distinguishable
from alignlab.reporting.results import finite

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


def told(row: Row) -> bool:
    """Whether a difference is told apart from zero, as anywhere in the report."""
    ends = {"ci_low": row["difference_low"], "ci_high": row["difference_high"]}
    return distinguishable({**row, **ends})


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
        f"answers, of which {row['against_right']:.0%} are fine: {_way(row)}."
    )
    if row["balanced_accuracy"] is None:
        return said
    balanced = share(row, "balanced_accuracy", "balanced_low", "balanced_high")
    above = row["balanced_low"] > CHANCE
    verdict = (
        "above" if above else "not told apart from" if row["balanced_high"] > CHANCE else "below"
    )
    return f"{said} Its balanced accuracy is {balanced}, {verdict} the 0.5 of one fixed verdict."


def _against_analysis(row: Row) -> str:
    return f"{row['analysis']} ({row['ask']}) against {row['against']}: {_way(row)}."


def _way(row: Row) -> str:
    if not told(row):
        detectable = row["minimum_detectable_effect"]
        power = (
            "" if detectable is None else f"; {number(detectable, PLACES)} would have been found"
        )
        return f"not told apart, {difference(row)}{power}"
    return f"{'more' if row['difference'] > 0 else 'less'} often right, {difference(row)}"
