"""The results on the terminal: the boards of the page, as `alignlab summary` prints them."""

from __future__ import annotations

import io
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.reporting.arms import boards
from alignlab.reporting.arms.measures import (
    Comparison,
    Measure,
    measures_of,
    read_contrasts,
    read_scenarios,
)
from alignlab.reporting.board import Board, Cell, Column, RowHead, footnotes, share
from alignlab.reporting.cards import AspectCard
from alignlab.reporting.inputs import (
    ReadAspect,
    definitions,
    doubts,
    main,
    present,
    read_aspects,
    read_differences,
    read_estimates,
)
from alignlab.reporting.learning import studies
from alignlab.reporting.shift.page import shift_cell
from alignlab.shift import tokens

WIDTH = 110
UNCUT = 10_000
GAP = "  "
# Which rows of shift_statistics: dataset, category, eos, weighting.
POOLED = ("all", "all", "with", "pooled")
SHIFT = ("unshifted", "marginal", "shifted", "top3", "kl_aligned_base", "first_token_shifted")
RULE = "paired by prompt, 95% interval without zero, Holm-adjusted p < .05"
# Rich cuts white space off at the end of a cell, but marks stand below one another.
BLANK = "\u2800"
# What a terminal that knows ASCII only shows instead.
PLAIN = str.maketrans({"–": "-", "−": "-", "·": "|", "‖": "||", "’": "'", "\u00a0": " ", "≥": ">="})
STYLES = {"best": "bold", "significant": "bold", "faint": "dim", "untrusted": "dim", "none": "dim"}


def summary(
    statistics: Path,
    comparisons: Path,
    prompts: Iterable[Path],
    baseline: str,
    judged: Sequence[AspectCard],
    qualification: Path | None,
) -> str:
    """Means with 95% intervals over all prompts, starred where an arm differs from the baseline.

    Lines are at most 110 columns; metrics that do not fit go into a further block below. What
    judges rate comes first, with a question mark instead of stars where the judge is not qualified.

    Args:
        statistics: table of that name.
        comparisons: table of that name.
        prompts: the tables of prompts that arms were asked.
        baseline: the arm that the others are compared with.
        judged: every aspect that a judge rates, in order of display.
        qualification: table of that name, where a judge was tested.

    Raises:
        AlignlabError: a table is missing or damaged, or has no row for the baseline.
    """
    grids = read_estimates(statistics)
    estimates = grids["all", "all"]
    if baseline not in estimates:
        raise AlignlabError(f"{statistics}: no row for the baseline {baseline!r}")
    differences = read_differences(comparisons, baseline)
    about, aspects = definitions(judged), read_aspects(judged, qualification)
    shown = main(present(estimates, about, aspects), aspects)
    chosen = {name: about[name] for name in shown}
    kinds = {row["category"] for path in prompts for row in tables.rows("prompts", path)}
    found = measures_of(chosen, aspects, shown, grids, differences, baseline, kinds)
    comparison = Comparison(baseline, [*estimates], found)
    most = max((row["n"] for each in found for row in each.own.values()), default=0)
    notes = [
        f"Mean over at most {most} prompts and its 95% interval.",
        f"* differs significantly from {baseline}: {RULE}.",
        *_coverage_notes(found),
        *_judge_notes(found),
    ]
    heads = {arm: RowHead(arm) for arm in estimates}
    return _text([boards.boards(comparison, heads, leaderboard=True)[0], *notes])


def scenario_summary(path: Path, judged: Sequence[AspectCard], qualification: Path | None) -> str:
    """Every scenario's means, marked where an arm differs from those it is compared with.

    Args:
        path: table `scenarios`.
        judged: as in `summary`.
        qualification: as in `summary`.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    about, aspects = definitions(judged), read_aspects(judged, qualification)
    return "\n\n".join(map(_scenario, read_scenarios(path, about, aspects)))


def _scenario(scenario: Comparison) -> str:
    heads = {arm: RowHead(arm) for arm in scenario.arms}
    signs = ", ".join(
        f"{mark} {against}" for mark, against in zip(boards.MARKS, scenario.against, strict=False)
    )
    doubted = dict.fromkeys(measure.doubt for measure in scenario.measures if measure.doubt)
    notes = [f"Differs significantly ({RULE}) from {signs}.", *(f"? {doubt}." for doubt in doubted)]
    return f"Scenario {scenario.name}\n" + _text([boards.boards(scenario, heads)[0], *notes])


def contrast_summary(path: Path, judged: Sequence[AspectCard], qualification: Path | None) -> str:
    """Every difference that was named before the run.

    Args:
        path: table `contrasts`.
        judged: as in `summary`.
        qualification: as in `summary`.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    about, aspects = definitions(judged), read_aspects(judged, qualification)
    return "\n\n".join(map(_contrast, read_contrasts(path, about, aspects)))


def _contrast(contrast: Comparison) -> str:
    heads = {arm: RowHead(arm) for arm in contrast.arms}
    doubted = dict.fromkeys(measure.doubt for measure in contrast.measures if measure.doubt)
    notes = ["p after Holm, over all tests of the contrast.", *(f"? {doubt}." for doubt in doubted)]
    return f"Contrast {contrast.name}, named before the run\n" + _text(
        [boards.contrast(contrast, heads), *notes]
    )


def study_summary(path: Path) -> str:
    """What every study of discrimination against generation shows over all answers.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    return "\n\n".join(
        _text([f"Study {study.name}, answers of {study.arm}", *studies.reading(study)])
        for study in studies.read(path)
    )


def shift_summary(statistics: Path) -> str:
    """Token shift of every pair: all tokens pooled, the end of the answer included.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    chosen: dict[str, dict[str, Row]] = {}
    for row in tables.rows("shift_statistics", statistics):
        if (row["dataset"], row["category"], row["eos"], row["weighting"]) == POOLED:
            chosen.setdefault(row["pair"], {})[row["metric"]] = row
    columns = [Column(tokens.METRICS[metric].label) for metric in SHIFT]
    rows = [
        (RowHead(pair), [shift_cell(found.get(metric), metric) for metric in SHIFT])
        for pair, found in chosen.items()
    ]
    notes = ["All tokens pooled; 95% bootstrap intervals over clusters of prompts."]
    for pair, found in chosen.items():
        covered = next(iter(found.values()))["coverage"]
        if covered is not None and covered < 1:
            notes.append(f"{pair}: {covered:.0%} of answers could be scored.")
    return _text([Board("Token shift", "Pair", columns, rows), *notes])


def _coverage_notes(found: Sequence[Measure]) -> Iterator[str]:
    """A line for each metric that is undefined for some answers, and one for all judges."""
    covered = [
        (min(row["coverage"] or 0.0 for row in measure.own.values()), measure) for measure in found
    ]
    for least, measure in covered:
        if least < 1 and not measure.aspect:
            yield f"{measure.label}: as few as {share(least)} of prompts have a value."
    judged = [(least, each.label, each.aspect) for least, each in covered if each.aspect]
    if judged and (worst := min(judged, key=lambda each: each[0]))[0] < 1:
        least, label, aspect = worst
        yield (
            f"Judges scored at least {share(least)} of each arm's answers (least: {label}); a mean "
            f"needs {share(aspect.min_coverage)}."
        )


def _judge_notes(found: Sequence[Measure]) -> Iterator[str]:
    aspects: list[ReadAspect] = [measure.aspect for measure in found if measure.aspect]
    yield from footnotes(doubts(aspects, {measure.metric: measure.label for measure in found}))
    own = {(each.judge, arm): None for each in aspects for arm in each.own_arms}
    for judge, arm in own:
        yield f"{judge} judges answers of its own model in {arm}: it may favour them."


def _text(parts: Iterable[Board | str]) -> str:
    """Boards and sentences as a terminal shows them: in colour only on one, and encodable there."""
    screen = sys.stdout.isatty()
    width = min(WIDTH, shutil.get_terminal_size().columns) if screen else WIDTH
    written: list[str] = []
    for part in parts:
        if isinstance(part, str):
            written.append(textwrap.fill(part, width, subsequent_indent=GAP))
            continue
        for block in _folded(part, width):
            written.append(_drawn(block, screen=screen) + "\n")
    return _encodable("\n".join(written))


def _drawn(table: Table, *, screen: bool) -> str:
    """The table as wide as it is: a terminal folds a line, and rich would cut a number."""
    memory = io.StringIO()
    console = Console(file=memory, width=UNCUT, force_terminal=screen, highlight=False)
    console.print(table)
    shown = memory.getvalue().replace(BLANK, " ").replace("\u00a0", " ")
    return "\n".join(line.rstrip() for line in shown.splitlines())


def _encodable(text: str) -> str:
    """The text in characters that the terminal has."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
    return text


def _folded(board: Board, width: int) -> Iterator[Table]:
    """The board in as few tables as the line's width allows, columns in order."""
    stem = max(len(name) for name in (board.corner, *(head.name for head, _ in board.rows)))
    block: list[int] = []
    used = 0
    for place, column in enumerate(board.columns):
        cells = [_shown(cells[place]).plain for _, cells in board.rows]
        needed = len(GAP) + max(map(len, (column.label, *cells)))
        if block and stem + used + needed > width:
            yield _table(board, block)
            block, used = [], 0
        block.append(place)
        used += needed
    yield _table(board, block)


def _table(board: Board, places: Sequence[int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0), header_style="bold")
    table.add_column(Text(board.corner.lower()), no_wrap=True)
    for place in places:
        table.add_column(Text(board.columns[place].label), justify="right", no_wrap=True)
    for head, cells in board.rows:
        shown = (_shown(cells[place], board.columns[place].classes) for place in places)
        table.add_row(Text(head.name), *shown)
    return table


def _shown(cell: Cell, classes: str = "") -> Text:
    """`0.47 [0.41, 0.53]*`; a refused mean is its coverage, and what was not asked a dash."""
    kept = [cell.text, cell.range, *(text for kind, text in cell.lines if not cell.text)]
    text = " ".join(filter(None, kept)) + cell.marks.replace(" ", BLANK)
    names = f"{classes} {cell.classes}".split()
    return Text(text, style=next((STYLES[name] for name in names if name in STYLES), ""))
