"""What the report says of every metric: its definition, and whether its judge is qualified.

    snakemake --cores 2 results/demo/report/index.html

A judge's score counts only where the judge passed its control tests; any other is shown in grey
with the reason, and no sentence of the report rests on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alignlab.core import tables
from alignlab.core.tables import Row
from alignlab.judging.qualification import status
from alignlab.metrics.definitions import METRICS, Metric
from alignlab.reporting.cards import AspectCard


def definitions(judged: Sequence[AspectCard]) -> dict[str, Metric]:
    """Metrics of an experiment: what its judges rate, in order of display, then `METRICS`."""
    several = len({card.judge for card in judged}) > 1
    rated = {
        card.metric: Metric(
            f"{card.label} · {card.judge}" if several else card.label,
            card.unit,
            card.better,
            f"{card.description} Rated by {card.model}, rubric {card.rubric}",
        )
        for card in judged
    }
    return {**rated, **METRICS}


@dataclass(frozen=True)
class Aspect:
    """One aspect that one judge rates: what the page shows of its card, and why it is doubted.

    Attributes:
        metric: `<judge>:<aspect>`.
        model: who judges.
        own_arms: arms whose model is the judge's own.
        min_coverage: share of answers that must be scored for a mean to be shown.
        doubt: why its scores are greyed: what it failed, or that it was not tested; else empty.
    """

    metric: str
    judge: str
    aspect: str
    label: str
    category: str | None
    model: str
    own_arms: tuple[str, ...]
    min_coverage: float
    doubt: str


def read_aspects(judged: Iterable[AspectCard], qualification: Path | None) -> dict[str, Aspect]:
    """Metric → aspect, in order of display; no table means that no judge was tested.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    rows = list(tables.rows("qualification", qualification)) if qualification else []
    return {card.metric: _aspect(card, rows) for card in judged}


def doubt(rows: Sequence[Row], judge: str, aspect: str) -> str:
    """Why a judge is not qualified for an aspect; empty if it is."""
    qualified, reason = status(rows, judge, aspect)
    return "" if qualified else reason


def _aspect(card: AspectCard, rows: Sequence[Row]) -> Aspect:
    return Aspect(
        metric=card.metric,
        judge=card.judge,
        aspect=card.aspect,
        label=card.label,
        category=card.category,
        model=card.model,
        own_arms=card.judged_self,
        min_coverage=card.min_coverage,
        doubt=doubt(rows, card.judge, card.aspect),
    )


def doubts(aspects: Iterable[Aspect], labels: Mapping[str, str]) -> dict[str, list[str]]:
    """Reason → labels of the metrics that it greys, in order of display."""
    found: dict[str, list[str]] = {}
    for aspect in aspects:
        if aspect.doubt:
            found.setdefault(aspect.doubt, []).append(labels[aspect.metric])
    return found
