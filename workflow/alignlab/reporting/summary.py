"""The result in the terminal: arms by main metrics, as `make run` prints it at the end.

alignlab summary demo
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from alignlab import tables
from alignlab.errors import AlignlabError
from alignlab.metrics.definitions import METRICS
from alignlab.reporting import scenarios, studies
from alignlab.reporting.formats import decimals, number
from alignlab.reporting.headlines import distinguishable
from alignlab.reporting.results import MAIN, Grid, read_differences, read_estimates
from alignlab.statistics import shift_metrics
from alignlab.tables import Row

WIDTH = 110
# Which rows of shift_statistics: dataset, category, eos, weighting.
POOLED = ("all", "all", "with", "pooled")
SHIFT = ("unshifted", "marginal", "shifted", "kl_aligned_base", "first_token_shifted")
GAP = "  "
MARKS = "*+^~"


def summary(statistics: Path, comparisons: Path, baseline: str) -> str:
    """Means with 95% intervals over all prompts, starred where an arm differs from the baseline.

    Lines are at most 110 columns; metrics that do not fit go into a further block below.

    Raises:
        AlignlabError: a table is missing or damaged, or has no row for the baseline.
    """
    estimates = read_estimates(statistics)["all", "all"]
    if baseline not in estimates:
        raise AlignlabError(f"{statistics}: no row for the baseline {baseline!r}")
    differences = read_differences(comparisons, baseline)["all"]
    metrics = [name for name in MAIN if any(_known(cells, name) for cells in estimates.values())]
    names = ["arm", *estimates]
    columns = [_column(estimates, differences, metric) for metric in metrics]
    notes = list(_notes(estimates, metrics, baseline))
    return "\n\n".join([*(_block(names, block) for block in _folded(names, columns)), *notes])


def shift_summary(statistics: Path) -> str:
    """Token shift of every pair: all tokens pooled, the end of the answer included.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    chosen: dict[str, dict[str, Row]] = {}
    for row in tables.rows("shift_statistics", statistics):
        if (row["dataset"], row["category"], row["eos"], row["weighting"]) == POOLED:
            chosen.setdefault(row["pair"], {})[row["metric"]] = {**row, "mean": row["value"]}
    columns = []
    for metric in SHIFT:
        known = shift_metrics.METRICS[metric]
        share = known.unit == "share"
        rows = [cells[metric] for cells in chosen.values() if metric in cells]
        places = 0 if share else min(2, decimals(row["mean"] for row in rows))
        cells = [
            _cell(cells[metric], share, places) if metric in cells else "–"
            for cells in chosen.values()
        ]
        columns.append([known.label, *cells])
    names = ["pair", *chosen]
    blocks = [_block(names, block) for block in _folded(names, columns)]
    note = ["All tokens pooled; 95% bootstrap intervals over prompts."]
    for pair, found in chosen.items():
        covered = next(iter(found.values()))["coverage"]
        if covered is not None and covered < 1:
            note.append(f"{pair}: {covered:.0%} of answers could be scored.")
    return "\n\n".join([*blocks, "\n".join(note)])


def scenario_summary(path: Path) -> str:
    """Every scenario's means, marked where an arm differs from those it is compared with.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    blocks = []
    for scenario in scenarios.read(path):
        marks = dict(zip(scenario.against, MARKS, strict=False))
        columns = [_scenario_column(measure, marks) for measure in scenario.measures]
        folded = _folded(["arm", *scenario.arms], columns)
        tables_of = [_block(["arm", *scenario.arms], block) for block in folded]
        signs = ", ".join(f"{mark} {against}" for against, mark in marks.items())
        note = f"Differs, paired by prompt, interval without zero, Holm p < .05: from {signs}."
        blocks += [f"Scenario {scenario.name}\n{tables_of[0]}", *tables_of[1:], note]
    return "\n\n".join(blocks)


def _scenario_column(measure: scenarios.Measure, marks: dict[str, str]) -> list[str]:
    share = METRICS[measure.metric].unit == "share"
    places = 0 if share else min(2, measure.places)
    cells = []
    for arm, row in measure.own.items():
        signs = (
            mark if arm in rows and distinguishable(rows[arm]) else " "
            for rows, mark in ((measure.changes[name], mark) for name, mark in marks.items())
        )
        cells.append(_cell(row, share, places) + "".join(signs))
    return [measure.label + " " * len(marks), *cells]


def study_summary(path: Path) -> str:
    """What every study of discrimination against generation shows over all answers.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    return "\n\n".join(
        "\n".join(
            [f"Study {study.name}, answers of {study.arm}", *_wrapped(studies.reading(study))]
        )
        for study in studies.read(path)
    )


def _wrapped(sentences: list[str]) -> list[str]:
    return [textwrap.fill(each, WIDTH, subsequent_indent=GAP) for each in sentences]


def _known(cells: dict[str, Row], metric: str) -> bool:
    return metric in cells and cells[metric]["mean"] is not None


def _column(estimates: Grid, differences: Grid, metric: str) -> list[str]:
    share = METRICS[metric].unit == "share"
    rows = {arm: cells[metric] for arm, cells in estimates.items()}
    places = 0 if share else min(2, decimals(row["mean"] for row in rows.values()))
    cells = []
    for arm, row in rows.items():
        compared = differences.get(arm, {}).get(metric)
        star = "*" if compared and distinguishable(compared) else " "
        cells.append(_cell(row, share, places) + star)
    return [METRICS[metric].label + " ", *cells]


def _cell(row: Row, share: bool, places: int) -> str:
    """`43% [38, 49]` for a share, `0.47 [0.41, 0.53]` for anything else."""
    values = [row["mean"], row["ci_low"], row["ci_high"]]
    if None in values:
        return "–"
    scale, mark = (100, "%") if share else (1, "")
    mean, low, high = (number(scale * value, places) for value in values)
    return f"{mean}{mark} [{low}, {high}]"


def _folded(names: list[str], columns: list[list[str]]) -> Iterator[list[list[str]]]:
    """Columns in as few blocks as the line's width allows, in order."""
    room = WIDTH - max(map(len, names))
    block: list[list[str]] = []
    used = 0
    for column in columns:
        width = len(GAP) + max(map(len, column))
        if block and used + width > room:
            yield block
            block, used = [], 0
        block.append(column)
        used += width
    yield block


def _block(names: list[str], columns: list[list[str]]) -> str:
    stem = max(map(len, names))
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for name, *cells in zip_longest(names, *columns):
        padded = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        lines.append(GAP.join([name.ljust(stem), *padded]).rstrip())
    return "\n".join(lines)


def _notes(estimates: Grid, metrics: list[str], baseline: str) -> Iterator[str]:
    counts = [cells[metric]["n"] for cells in estimates.values() for metric in metrics]
    note = [
        f"Mean over at most {max(counts, default=0)} prompts and its 95% bootstrap interval.",
        f"* differs from {baseline}: paired by prompt, interval without zero, Holm p < .05.",
    ]
    for metric in metrics:
        covered = min(cells[metric]["coverage"] for cells in estimates.values())
        if covered < 1:
            note.append(
                f"{METRICS[metric].label}: as few as {covered:.0%} of prompts have a value."
            )
    yield "\n".join(note)
