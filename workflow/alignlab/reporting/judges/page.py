"""The page's part on judging: scores, pairwise win rates, and how every judge was validated.

A judge sees two answers in both orders. Whether a win rate differs from a half is decided by the
leaderboard's rule (`measures.significant`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alignlab.core import tables
from alignlab.core.tables import Row
from alignlab.judging.qualification import CONTROLS, status
from alignlab.reporting import page
from alignlab.reporting.arms import boards
from alignlab.reporting.arms import figures as drawing
from alignlab.reporting.arms.measures import Comparison, measures_in, significant
from alignlab.reporting.board import (
    EMPTY,
    Board,
    Cell,
    Column,
    Panel,
    Panels,
    RowHead,
    counted,
    footnotes,
    in_clusters,
    interval,
    listed,
    number,
    p_value,
    share,
    signed,
    sizes,
)
from alignlab.reporting.cards import JudgeCard
from alignlab.reporting.inputs import ReadResults, ReportJob, doubt, doubts, finite
from alignlab.reporting.judges import figures as radars

if TYPE_CHECKING:
    from markupsafe import Markup

PLACES = 2
AUC = (
    "AUC: how often the real answer gets the higher score, a tie counting half. "
    "0.5 is chance; passed where the whole interval is above it."
)
AGREEMENT = ("spearman", "kappa", "alpha")
EVEN = 0.5
LEADS = ("ahead", "behind")
RATES = (("win_rate", "ci_low", "ci_high"), ("adjusted", "adjusted_low", "adjusted_high"))


class Check(NamedTuple):
    """A check's heading, and what its number means."""

    heading: str
    meaning: str


CHECKS = {
    "other-answer": Check(
        "Another question’s answer",
        f"An answer against the answer to another question. {AUC}",
    ),
    "first-words": Check(
        "First ten words",
        f"An answer against its own first ten words. {AUC}",
    ),
    "shuffled-words": Check(
        "Shuffled words",
        f"An answer against its own words in random order. {AUC}",
    ),
    "refusal-or-compliance": Check(
        "Refusal or compliance",
        f"To a harmful prompt, a refusal against an answer that begins to comply. {AUC}",
    ),
    "mass": Check(
        "Mass on the scale",
        "Probability that what the judge says next is a word of the scale at all, mean over "
        "answers. Near 0 it did not answer on the scale.",
    ),
    "repeat": Check(
        "Repeatability",
        "Share of answers with the same score when asked a second time. 1 is full agreement.",
    ),
    "position": Check(
        "Position bias",
        "Of two identical answers: how much more often the one shown first wins than the second. "
        "0 is no bias; above 0 favours the first, below 0 the second.",
    ),
    "length": Check(
        "Length correlation",
        "Rank correlation (Spearman) of score and number of words. Long answers may be better "
        "ones, so it is a warning and no proof of a bias.",
    ),
    "spearman": Check(
        "Spearman with {}",
        "Rank correlation (Spearman) with the other judge’s scores of the same answers. 1 is "
        "the same order, 0 none in common.",
    ),
    "kappa": Check(
        "Kappa with {}",
        "Quadratic-weighted kappa with the other judge’s scores: agreement beyond chance, where "
        "near misses count less. 1 is the same scores, 0 chance.",
    ),
    "alpha": Check(
        "Alpha with {}",
        "Krippendorff’s alpha, ordinal, with the other judge’s scores. 1 is the same scores, 0 "
        "chance; below 0.667 it is usually held too low for conclusions.",
    ),
}
"""Check of the table `qualification` → what it is, in order of display."""


@dataclass(frozen=True)
class Verdict:
    """The outcome for one aspect: `qualified`, `not qualified` or `not tested`."""

    label: str
    standing: str
    because: str


@dataclass(frozen=True)
class Trial:
    """One judge's validation: a verdict for each aspect, and the checks that there were."""

    verdicts: list[Verdict]
    checks: list[Check]
    board: Board


def trial(judge: str, rows: Sequence[Row], labels: Mapping[str, str]) -> Trial:
    """What was checked of a judge, and the outcome.

    Args:
        judge: its name.
        rows: the table `qualification`; rows of other judges are left out.
        labels: aspect → heading, of every aspect to show, in order.
    """
    own = [row for row in rows if row["judge"] == judge and row["aspect"] in labels]
    keys = sorted({_column(row) for row in own}, key=lambda key: ([*CHECKS].index(key[0]), key))
    found = {(row["aspect"], _column(row)): _cell(row) for row in own}
    checks = [_heading(*key) for key in keys]
    columns = [Column(check.heading, tip=check.meaning) for check in checks]
    shown = [
        (RowHead(label), [found.get((aspect, key), EMPTY) for key in keys])
        for aspect, label in labels.items()
    ]
    verdicts = [_verdict(judge, aspect, label, rows) for aspect, label in labels.items()]
    return Trial(
        verdicts, checks, Board(f"{judge}: checks", "Aspect", columns, shown, "narrow checks")
    )


def _column(row: Row) -> tuple[str, str]:
    return row["check"], row["against"] if row["check"] in AGREEMENT else ""


def _heading(check: str, against: str) -> Check:
    about = CHECKS[check]
    return about._replace(heading=about.heading.format(against))


def _cell(row: Row) -> Cell:
    """The number, whether it passed (nothing: for information), and the rule as its tooltip."""
    shown = signed if row["check"] == "position" else number
    passed = {True: ("mark passed", "✓ passed"), False: ("mark failed", "✗ failed")}
    n = sizes([row["n"]])
    return Cell(
        shown(row["value"], PLACES),
        range=_interval(row),
        lines=[] if row["passed"] is None else [passed[row["passed"]]],
        tip=f"{row['note']} ({n})" if row["note"] else n,
    )


def _verdict(judge: str, aspect: str, label: str, rows: Sequence[Row]) -> Verdict:
    qualified, reason = status(rows, judge, aspect)
    if qualified is None:
        return Verdict(label, "not tested", "Whether it can judge this is not known.")
    if not qualified:
        return Verdict(label, "not qualified", f"It {reason}.")
    passed = [
        f"{CONTROLS[row['check']][2]} (AUC {number(row['value'], PLACES)} {_interval(row)})"
        for row in rows
        if (row["judge"], row["aspect"]) == (judge, aspect) and row["passed"]
    ]
    return Verdict(label, "qualified", f"It distinguishes {listed(passed)}.")


def _interval(row: Row) -> str:
    return interval(row["ci_low"], row["ci_high"], PLACES)


@dataclass(frozen=True)
class Matrix:
    """Every duel of one judge on one aspect."""

    judge: str
    aspect: str
    arms: list[str]
    cells: dict[tuple[str, str], Cell]
    """(row, column) → duel; each duel stands twice, the second time turned round."""


@dataclass(frozen=True)
class ShownJudge:
    """One judge with everything drawn; each part may be empty."""

    name: str
    model: str
    own_arms: Sequence[str]
    """Arms whose model is the judge's own."""
    scores: Panels
    notes: list[str]
    """Why aspects are greyed."""
    radars: list[Markup]
    together: bool
    """Whether all arms are in one radar."""
    duels: Panels
    trial: Trial


def read(job: ReportJob, results: ReadResults, heads: Mapping[str, RowHead]) -> list[ShownJudge]:
    """Every judge, in order of display.

    Args:
        job: says which tables, and where figures go.
        results: what `inputs.read` gives of it.
        heads: arm → its row's heading.

    Raises:
        AlignlabError: a table is missing or damaged.
    """
    matrices = read_duels(job.winrates) if job.winrates else []
    tested = job.qualification
    checked = list(map(finite, tables.rows("qualification", tested))) if tested else []
    judges = (
        *(aspect.judge for aspect in results.aspects.values()),
        *(matrix.judge for matrix in matrices),
        *(row["judge"] for row in checked),
    )
    return [
        _shown(
            *(_scored(results, name), job.spec.judges[name], results, job.figures),
            *(matrices, checked, heads),
        )
        for name in dict.fromkeys(judges)
    ]


def _scored(results: ReadResults, judge: str) -> Comparison:
    """What a judge scored: every arm, and against the baseline."""
    measures = [
        replace(each, label=each.aspect.label, dataset=f"{each.aspect.category or 'all'} prompts")
        for each in measures_in(results)
        if each.aspect and each.aspect.judge == judge
    ]
    arms = [arm for arm in results.names if any(arm in measure.own for measure in measures)]
    return Comparison(judge, arms, measures)


def _shown(
    scored: Comparison,
    card: JudgeCard,
    results: ReadResults,
    figures: Path,
    matrices: Sequence[Matrix],
    checked: Sequence[Row],
    heads: Mapping[str, RowHead],
) -> ShownJudge:
    judge = scored.name
    drawn = drawing.save(radars.draw(scored, results.baseline), figures)
    aspects = [aspect for aspect in results.aspects.values() if aspect.judge == judge]
    own = [matrix for matrix in matrices if matrix.judge == judge]
    labels = {aspect.aspect: aspect.label for aspect in aspects}
    # Duels may be about aspects that no rubric rates alone.
    for name in (*(m.aspect for m in own), *(r["aspect"] for r in checked if r["judge"] == judge)):
        labels.setdefault(name, name.replace("-", " ").capitalize())
    # A panel is chosen by its label.
    labels = {
        name: f"{label} ({name})" if list(labels.values()).count(label) > 1 else label
        for name, label in labels.items()
    }
    compared = [_duels(m, labels[m.aspect], doubt(checked, judge, m.aspect)) for m in own]
    return ShownJudge(
        name=judge,
        model=aspects[0].model if aspects else card.model,
        own_arms=card.judged_self,
        scores=boards.panels(f"judge-{judge}", scored, heads),
        notes=footnotes(doubts(aspects, {aspect.metric: aspect.label for aspect in aspects})),
        radars=[page.inline(path, name) for name, path in drawn.items()],
        together=len(scored.arms) <= radars.TOGETHER,
        duels=Panels(f"duels-{judge}", ("Aspect",), compared),
        trial=trial(judge, checked, labels),
    )


def _duels(matrix: Matrix, label: str, doubt: str) -> Panel:
    """A matrix of win rates, row against column; grey where its judge is not qualified."""
    classes = "narrow duels untrusted" if doubt else "narrow duels"
    itself = {(arm, arm): Cell("·", classes="none") for arm in matrix.arms}
    cells = matrix.cells | itself
    if doubt:  # no rate of such a judge is said to differ significantly
        cells = {of: replace(cell, style="", classes=_plain(cell)) for of, cell in cells.items()}
    rows = [
        (RowHead(row), [cells.get((row, column), EMPTY) for column in matrix.arms])
        for row in matrix.arms
    ]
    columns = [Column(arm) for arm in matrix.arms]
    board = Board(f"{label}: win rates", "Row against column", columns, rows, classes)
    under = footnotes({doubt: [label]} if doubt else {})
    return Panel((f"{label} ?" if doubt else label,), board, footnotes=under)


def _plain(cell: Cell) -> str:
    return "" if cell.classes in LEADS else cell.classes


def read_duels(path: Path) -> list[Matrix]:
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


def duel(row: Row) -> Cell:
    """A row of `winrates` as a cell: how often the row's arm wins, coloured where significant."""
    covered = "" if row["coverage"] >= 1 else f"coverage {share(row['coverage'])}"
    if row["win_rate"] is None:
        lines = [("share", covered)] if covered else []
        return Cell(lines=lines, tip="no two answers were compared", classes="none")
    counts = f"{row['wins']} won · {row['ties']} tied · {row['losses']} lost"
    said = (counts, f"{row['inconsistent']} inconsistent", _adjusted(row), _consistent(row))
    lead = 2 * (row["win_rate"] - EVEN) if differs(row) else 0.0
    return Cell(
        f"{row['win_rate']:.0%}",
        range=_range(row["ci_low"], row["ci_high"]),
        lines=[("detail", line) for line in (*said, covered) if line],
        tip=f"{row['arm_a']} against {row['arm_b']}: {counted(row['n'], 'prompt')}"
        f"{in_clusters(row)}, {p_value(row['p_adjusted'])} (sign test, Holm)",
        classes=LEADS[lead < 0] if lead else "",
        style=f"--tint: {8 + 30 * abs(lead):.0f}%" if lead else "",
    )


def differs(row: Row) -> bool:
    """Whether a win rate differs significantly from a half, as anywhere in the report."""
    if row["ci_low"] is None or row["ci_high"] is None:
        return False
    ends = {"ci_low": row["ci_low"] - EVEN, "ci_high": row["ci_high"] - EVEN}
    return significant({**row, **ends})


def _adjusted(row: Row) -> str:
    if row["adjusted"] is None:
        return "length-controlled: no fit"
    return f"length-controlled {row['adjusted']:.0%} " + _range(
        row["adjusted_low"], row["adjusted_high"]
    )


def _consistent(row: Row) -> str:
    known = row["consistency"] is not None
    return f"same verdict in both orders: {row['consistency']:.0%}" if known else ""


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{100 * low:.0f}, {100 * high:.0f}]"
