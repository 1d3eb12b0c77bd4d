"""What judges rate, as the report shows it: whose score it is, and whether it may be believed.

    snakemake --cores 2 results/demo/report/index.html

A score counts only where its judge was tried on controls and passed; any other is shown in grey
with the reason, and no sentence of the report rests on it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignlab.core import tables
from alignlab.core.tables import Row
from alignlab.judging.qualification import status

# Replies as they came are most of a judgements table and never shown.
SHOWN = ["judge", "prompt_id", "turn", "sample", "aspect"]
SAID = ["status", "score", "distribution", "reason"]
Answer = tuple[str, int, int]
"""Prompt id, turn and sample."""


@dataclass(frozen=True)
class Aspect:
    """One aspect that one judge rates: an entry of `judged` in the spec, with the judge's standing.

    Attributes:
        metric: `<judge>:<aspect>`.
        model: who judges.
        own_arms: arms whose model is the judge's own.
        min_coverage: share of answers that must be scored for a mean to be shown.
        doubt: why its scores are greyed: what it failed, or that it was not tried; else empty.
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
    """Metric → aspect, in order of display; no table means that no judge was tried.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    rows = list(tables.rows("qualification", qualification)) if qualification else []
    return {entry["metric"]: _aspect(entry, rows) for entry in judged}


def doubt(rows: Sequence[Row], judge: str, aspect: str) -> str:
    """Why a judge is not to be believed on an aspect; empty if it is."""
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


def read_judgements(paths: Iterable[Path]) -> dict[Answer, dict[str, Row]]:
    """One arm's judgements: answer → metric → `status`, `score`, `distribution` and `reason`.

    Raises:
        AlignlabError: a table is missing or damaged.
    """
    found: dict[Answer, dict[str, Row]] = defaultdict(dict)
    for path in paths:
        for row in tables.opened("judgements", path).read(columns=SHOWN + SAID).to_pylist():
            metric = f"{row['judge']}:{row['aspect']}"
            answer = row["prompt_id"], row["turn"], row["sample"]
            found[answer][metric] = {key: row[key] for key in SAID}
    return found
