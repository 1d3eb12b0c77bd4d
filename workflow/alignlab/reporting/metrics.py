"""What the report says of every metric: its definition, and whether its judge is qualified.

    snakemake --cores 2 results/demo/report/index.html

A judge's score counts only where the judge passed its control tests; any other is shown in grey
with the reason, and no sentence of the report rests on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignlab.core import tables
from alignlab.core.tables import Row
from alignlab.judging.qualification import status
from alignlab.metrics.definitions import METRICS, Metric


def definitions(judged: Sequence[Mapping[str, Any]]) -> dict[str, Metric]:
    """Metrics of an experiment: what its judges rate, in order of display, then `METRICS`.

    Args:
        judged: of each aspect of each judge `metric` (`<judge>:<aspect>`), `judge`, `label`,
            `unit`, `better`, `description`, `model` (who judges) and `rubric`.
    """
    several = len({entry["judge"] for entry in judged}) > 1
    rated = {
        entry["metric"]: Metric(
            f"{entry['label']} · {entry['judge']}" if several else entry["label"],
            entry["unit"],
            entry["better"],
            f"{entry['description']} Rated by {entry['model']}, rubric {entry['rubric']}",
        )
        for entry in judged
    }
    return {**rated, **METRICS}


@dataclass(frozen=True)
class Aspect:
    """One aspect that one judge rates: an entry of `judged` in the spec, and why it is doubted.

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


def read_aspects(
    judged: Iterable[Mapping[str, Any]], qualification: Path | None
) -> dict[str, Aspect]:
    """Metric → aspect, in order of display; no table means that no judge was tested.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    rows = list(tables.rows("qualification", qualification)) if qualification else []
    return {entry["metric"]: _aspect(entry, rows) for entry in judged}


def doubt(rows: Sequence[Row], judge: str, aspect: str) -> str:
    """Why a judge is not qualified for an aspect; empty if it is."""
    qualified, reason = status(rows, judge, aspect)
    return "" if qualified else reason


def _aspect(entry: Mapping[str, Any], rows: Sequence[Row]) -> Aspect:
    kept = ("metric", "judge", "aspect", "label", "category", "model", "min_coverage")
    return Aspect(
        **{key: entry[key] for key in kept},
        own_arms=tuple(entry["judged_self"]),
        doubt=doubt(rows, entry["judge"], entry["aspect"]),
    )


def doubts(aspects: Iterable[Aspect], labels: Mapping[str, str]) -> dict[str, list[str]]:
    """Reason → labels of the metrics that it greys, in order of display."""
    found: dict[str, list[str]] = {}
    for aspect in aspects:
        if aspect.doubt:
            found.setdefault(aspect.doubt, []).append(labels[aspect.metric])
    return found
