"""Figures of Learning from Mistakes: forest plots of scenarios, wins and losses of analyses.

snakemake --cores 2 --config experiment=lfm-demo     # writes figures/arms/*.svg
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from alignlab.reporting.figures import (
    GREY,
    ROW,
    WIDTH,
    bare,
    difference_label,
    draw_difference,
    draw_shares,
    forest_panels,
)
from alignlab.reporting.scenarios import Scenario
from alignlab.reporting.studies import Study, named

LEGEND = 0.4
# Not the colours of base and aligned models.
AGAINST = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9")
OUTCOMES = {"wins": "#009e73", "ties": "#bbbbbb", "losses": "#e69f00"}
OUTCOME_LABEL = {
    "wins": "only the analysis is right",
    "ties": "both right, or both wrong",
    "losses": "only the other side is right",
}


def draw(scenarios: list[Scenario], studies: list[Study]) -> Iterator[tuple[str, Figure]]:
    """Every figure with the name of its file; `figures.save` writes them."""
    for scenario in scenarios:
        yield f"scenario-{scenario.name}", forest(scenario)
    for study in studies:
        yield f"study-{study.name}", outcomes(study)


def forest(scenario: Scenario) -> Figure:
    """Paired differences: a panel a measure, a colour an arm that others are compared with."""
    compared = {arm for m in scenario.measures for rows in m.changes.values() for arm in rows}
    arms = [arm for arm in scenario.arms if arm in compared]
    figure, panels = forest_panels(len(scenario.measures), arms)
    steps = np.linspace(-0.17, 0.17, len(scenario.against)) if len(scenario.against) > 1 else [0]
    for axes, measure in zip(panels, scenario.measures, strict=True):
        axes.set_title(f"{measure.label} ?" if measure.doubt else measure.label)
        axes.set_xlabel(difference_label(measure.unit, measure.better))
        for against, step, colour in zip(scenario.against, steps, AGAINST, strict=False):
            for place, arm in enumerate(arms):
                row = measure.changes.get(against, {}).get(arm)
                shade = GREY if measure.doubt else colour
                draw_difference(axes, row, place + step, shade)
    labels = [f"minus {name}" for name in scenario.against]
    shown = AGAINST[: len(labels)]
    marks = [Line2D([], [], color=colour, marker="o", markersize=5.5) for colour in shown]
    figure.set_figheight(figure.get_figheight() + LEGEND)
    figure.legend(marks, labels, loc="outside upper left", ncols=len(labels), handlelength=1.4)
    return figure


def outcomes(study: Study) -> Figure:
    """Shares of prompts that an analysis wins, ties and loses: the form of the paper's Figure 2."""
    names = [f"{row['analysis']} against {named(row)}, {row['slice']}" for row in study.rows]
    figure = Figure(figsize=(WIDTH, ROW * len(names) + 0.8))
    axes = figure.subplots()
    bare(axes, names)
    counts = [Counter({kind: row[kind] for kind in OUTCOMES}) for row in study.rows]
    draw_shares(axes, counts, OUTCOMES, OUTCOME_LABEL)
    return figure
