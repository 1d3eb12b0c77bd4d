"""The result in the terminal: arms by main metrics, as `make run` prints it at the end.

alignlab summary demo
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.metrics.definitions import Metric
from alignlab.reporting import scenarios, studies
from alignlab.reporting.definitions import definitions
from alignlab.reporting.formats import decimals, listed, number, share
from alignlab.reporting.headlines import distinguishable
from alignlab.reporting.judged import Aspect, doubts, read_aspects
from alignlab.reporting.results import Grid, main, present, read_differences, read_estimates
from alignlab.shift.statistics import measures

WIDTH = 110
# Which rows of shift_statistics: dataset, category, eos, weighting.
POOLED = ("all", "all", "with", "pooled")
SHIFT = ("unshifted", "marginal", "shifted", "kl_aligned_base", "first_token_shifted")
GAP = "  "
MARKS = "*+^~"


def summary(
    statistics: Path,
    comparisons: Path,
    baseline: str,
    judged: Sequence[Mapping[str, Any]],
    qualification: Path | None,
) -> str:
    """Means with 95% intervals over all prompts, starred where an arm differs from the baseline.

    Lines are at most 110 columns; metrics that do not fit go into a further block below. What
    judges rate comes first, with a question mark instead of stars where the judge is not qualified.

    Args:
        statistics: table of that name.
        comparisons: table of that name.
        baseline: the arm that the others are compared with.
        judged: as in the spec of `report.build_report`.
        qualification: table of that name, where a judge was tried.

    Raises:
        AlignlabError: a table is missing or damaged, or has no row for the baseline.
    """
    estimates = read_estimates(statistics)["all", "all"]
    if baseline not in estimates:
        raise AlignlabError(f"{statistics}: no row for the baseline {baseline!r}")
    differences = read_differences(comparisons, baseline)["all"]
    about, aspects = definitions(judged), read_aspects(judged, qualification)
    metrics = main(present(estimates, about, aspects), aspects)
    names = ["arm", *estimates]
    columns = [
        _column(estimates, differences, metric, about[metric], aspects.get(metric))
        for metric in metrics
    ]
    notes = [
        f"Mean over at most {_most(estimates, metrics)} prompts and its 95% interval.",
        f"* differs from {baseline}: paired by prompt, interval without zero, Holm p < .05.",
        *_coverage_notes(estimates, metrics, about, aspects),
        *_judge_notes(aspects, about),
    ]
    blocks = [_block(names, block) for block in _folded(names, columns)]
    return "\n\n".join([*blocks, "\n".join(_wrapped(notes))])


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
        known = measures.METRICS[metric]
        is_share = known.unit == "share"
        rows = [cells[metric] for cells in chosen.values() if metric in cells]
        places = 0 if is_share else min(2, decimals(row["mean"] for row in rows))
        cells = [
            _cell(cells[metric], is_share, places) if metric in cells else "–"
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


def scenario_summary(
    path: Path, judged: Sequence[Mapping[str, Any]], qualification: Path | None
) -> str:
    """Every scenario's means, marked where an arm differs from those it is compared with.

    Args:
        path: table `scenarios`.
        judged: as in `summary`.
        qualification: as in `summary`.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    blocks = []
    about, aspects = definitions(judged), read_aspects(judged, qualification)
    for scenario in scenarios.read(path, about, aspects):
        marks = dict(zip(scenario.against, MARKS, strict=False))
        columns = [_scenario_column(scenario, measure, marks) for measure in scenario.measures]
        folded = _folded(["arm", *scenario.arms], columns)
        tables_of = [_block(["arm", *scenario.arms], block) for block in folded]
        signs = ", ".join(f"{mark} {against}" for against, mark in marks.items())
        note = f"Differs, paired by prompt, interval without zero, Holm p < .05: from {signs}."
        unsure = dict.fromkeys(m.doubt for m in scenario.measures if m.doubt)
        note = "\n".join([note, *_wrapped([f"? {doubt}." for doubt in unsure])])
        blocks += [f"Scenario {scenario.name}\n{tables_of[0]}", *tables_of[1:], note]
    return "\n\n".join(blocks)


def _scenario_column(
    scenario: scenarios.Scenario, measure: scenarios.Measure, marks: dict[str, str]
) -> list[str]:
    is_share = measure.unit == "share"
    places = 0 if is_share else min(2, measure.places)
    cells = []
    for arm in scenario.arms:
        changed = (measure.changes.get(name, {}).get(arm) for name in marks)
        signs = (
            mark if row and distinguishable(row) and not measure.doubt else " "
            for row, mark in zip(changed, marks.values(), strict=True)
        )
        shown = _cell(measure.own.get(arm), is_share, places, measure.aspect)
        cells.append(shown + "".join(signs))
    return [measure.label + _marked(measure.aspect) + " " * len(marks), *cells]


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


def _column(
    estimates: Grid, differences: Grid, metric: str, about: Metric, aspect: Aspect | None
) -> list[str]:
    is_share = about.unit == "share"
    rows = {arm: cells.get(metric) for arm, cells in estimates.items()}
    places = 0 if is_share else min(2, decimals(row["mean"] for row in rows.values() if row))
    cells = []
    for arm, row in rows.items():
        compared = differences.get(arm, {}).get(metric)
        told = compared and distinguishable(compared) and not (aspect and aspect.doubt)
        cells.append(_cell(row, is_share, places, aspect) + ("*" if told else " "))
    return [about.label + _marked(aspect) + " ", *cells]


def _marked(aspect: Aspect | None) -> str:
    return " ?" if aspect and aspect.doubt else ""


def _cell(row: Row | None, is_share: bool, places: int, aspect: Aspect | None = None) -> str:
    """`43% [38, 49]` for a share, `0.47 [0.41, 0.53]` for anything else.

    A judge's mean over too few answers is `coverage 62%`; what was not asked is a dash.
    """
    if row and row["mean"] is None and row["coverage"] is not None and aspect:
        return f"coverage {share(row['coverage'])}"
    if row is None or None in (row["mean"], row["ci_low"], row["ci_high"]):
        return "–"
    values = row["mean"], row["ci_low"], row["ci_high"]
    scale, mark = (100, "%") if is_share else (1, "")
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


def _most(estimates: Grid, metrics: list[str]) -> int:
    rows = (cells.get(metric) for cells in estimates.values() for metric in metrics)
    return max((row["n"] for row in rows if row), default=0)


def _coverage_notes(
    estimates: Grid, metrics: list[str], about: Mapping[str, Metric], aspects: Mapping[str, Aspect]
) -> Iterator[str]:
    """A line for each metric that is undefined for some answers, and one for all judges."""
    found = {
        metric: min(cells[metric]["coverage"] for cells in estimates.values() if metric in cells)
        for metric in metrics
    }
    for metric, covered in found.items():
        if covered < 1 and metric not in aspects:
            yield f"{about[metric].label}: as few as {share(covered)} of prompts have a value."
    judged = {metric: covered for metric, covered in found.items() if metric in aspects}
    if judged and min(judged.values()) < 1:
        worst = min(judged, key=judged.__getitem__)
        needed = share(aspects[worst].min_coverage)
        yield (
            f"Judges scored at least {share(judged[worst])} of each arm's answers (least: "
            f"{about[worst].label}); a mean needs {needed}."
        )


def _judge_notes(aspects: Mapping[str, Aspect], about: Mapping[str, Metric]) -> Iterator[str]:
    labels = {metric: about[metric].label for metric in aspects}
    for reason, greyed in doubts(aspects.values(), labels).items():
        yield f"? {listed(greyed)}: {reason}."
    own = {(each.judge, arm): None for each in aspects.values() for arm in each.own_arms}
    for judge, arm in own:
        yield f"{judge} judges answers of its own model in {arm}: it may favour them."
