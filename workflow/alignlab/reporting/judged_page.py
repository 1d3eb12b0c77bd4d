"""What the page says of judging: scores, duels, and how every judge was tried.

snakemake --cores 2 results/demo/report/index.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignlab.core import tables
from alignlab.core.tables import Row
from alignlab.reporting import duels, judge_checks, judged_figures, page, scenario_cells
from alignlab.reporting import figures as drawing
from alignlab.reporting.inputs import Inputs
from alignlab.reporting.judged import doubt, doubts
from alignlab.reporting.results import Grid, Results, finite
from alignlab.reporting.scenarios import Measure, Scenario

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class ShownDuels:
    """One matrix; `doubt` says why its judge is not to be believed, or nothing."""

    label: str
    doubt: str
    matrix: duels.Matrix


@dataclass(frozen=True)
class ShownJudge:
    """One judge with everything drawn; each part may be empty."""

    name: str
    model: str
    own_arms: list[str]
    """Arms whose model is the judge's own."""
    measures: list[Measure]
    views: list[scenario_cells.View]
    doubts: dict[str, list[str]]
    """Why aspects are greyed → their headings."""
    radars: list[Markup]
    together: bool
    """Whether all arms are in one radar."""
    duels: list[ShownDuels]
    trial: judge_checks.Trial


def read(
    spec: Mapping[str, Any], results: Results, inputs: Inputs, figures: Path
) -> list[ShownJudge]:
    """Every judge, in order of display; arguments as in `build_report`.

    Raises:
        AlignlabError: a table is missing or damaged.
    """
    matrices = duels.read(inputs.winrates) if inputs.winrates else []
    tried = inputs.qualification
    checked = list(map(finite, tables.rows("qualification", tried))) if tried else []
    judges = (
        *(aspect.judge for aspect in results.aspects.values()),
        *(matrix.judge for matrix in matrices),
        *(row["judge"] for row in checked),
    )
    return [
        _shown(results, name, figures, matrices, checked, spec["judges"][name])
        for name in dict.fromkeys(judges)
    ]


def _scored(results: Results, judge: str) -> Scenario:
    """What a judge scored, in the form of a scenario: every arm, and against the baseline."""
    named = [results.aspects[name] for name in results.metrics if name in results.aspects]
    return Scenario(
        judge,
        [
            Measure(
                label=aspect.label,
                metric=aspect.metric,
                dataset=f"{aspect.category or 'all'} prompts",
                better=results.about[aspect.metric].better,
                unit=results.about[aspect.metric].unit,
                aspect=aspect,
                own=_picked(results.estimates["all", "all"], results.names, aspect.metric),
                changes=_changes(results, aspect.metric),
            )
            for aspect in named
            if aspect.judge == judge
        ],
    )


def _picked(grid: Grid, arms: Iterable[str], metric: str) -> dict[str, Row]:
    return {arm: grid[arm][metric] for arm in arms if metric in grid.get(arm, {})}


def _changes(results: Results, metric: str) -> dict[str, dict[str, Row]]:
    found = _picked(results.differences.get("all", {}), results.others, metric)
    return {results.baseline: found} if found else {}


def _shown(
    results: Results,
    judge: str,
    figures: Path,
    matrices: Sequence[duels.Matrix],
    checked: Sequence[Row],
    about: Mapping[str, Any],
) -> ShownJudge:
    scored = _scored(results, judge)
    drawn = drawing.save(judged_figures.draw(scored, results.baseline), figures)
    aspects = [aspect for aspect in results.aspects.values() if aspect.judge == judge]
    own = [matrix for matrix in matrices if matrix.judge == judge]
    labels = {aspect.aspect: aspect.label for aspect in aspects}
    # Duels may be about aspects that no rubric rates alone.
    for name in (*(m.aspect for m in own), *(r["aspect"] for r in checked if r["judge"] == judge)):
        labels.setdefault(name, name.replace("-", " ").capitalize())
    return ShownJudge(
        name=judge,
        model=aspects[0].model if aspects else about["model"],
        own_arms=about["judged_self"],
        measures=scored.measures,
        views=scenario_cells.views(scored),
        doubts=doubts(aspects, {aspect.metric: aspect.label for aspect in aspects}),
        radars=[page.inline(path, name) for name, path in drawn.items()],
        together=len(scored.arms) <= judged_figures.TOGETHER,
        duels=[ShownDuels(labels[m.aspect], doubt(checked, judge, m.aspect), m) for m in own],
        trial=judge_checks.trial(judge, checked, labels),
    )
