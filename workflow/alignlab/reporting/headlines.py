"""What changed, in sentences that say no more than the paired comparisons do.

    python -m pytest tests/reporting/test_headlines.py

A difference is stated only where its 95% paired interval excludes zero and its
Holm-adjusted p-value is below .05; everything else is "not told apart", with the smallest
difference that this many prompts would have shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from alignlab.core.tables import Row
from alignlab.metrics.definitions import Metric
from alignlab.reporting.formats import (
    counted,
    decimals,
    direction,
    interval,
    listed,
    p_value,
    power,
    signed,
    sizes,
)
from alignlab.reporting.results import Results

ALPHA = 0.05


@dataclass(frozen=True)
class Finding:
    """One arm that differs from the baseline on one metric, in words."""

    direction: str
    arm: str
    change: str
    evidence: str


@dataclass(frozen=True)
class Headline:
    """One metric: the arms that differ, and what can be said about the rest (may be empty)."""

    label: str
    findings: list[Finding]
    rest: str


def distinguishable(row: Row) -> bool:
    """Whether the paired interval excludes zero and the adjusted p-value is below .05."""
    known = None not in (row["ci_low"], row["ci_high"], row["p_adjusted"])
    return known and row["ci_low"] * row["ci_high"] > 0 and row["p_adjusted"] < ALPHA


def headlines(results: Results) -> list[Headline]:
    """One headline for each main metric that has comparisons over all prompts, findings first.

    A judge that is not qualified makes none.
    """
    overall = results.differences.get("all", {})
    made = []
    for metric in (name for name in results.main if not results.doubt(name)):
        found = ((arm, overall.get(arm, {}).get(metric)) for arm in results.others)
        # A comparison is null where too few answers have a score.
        rows = {arm: row for arm, row in found if row and row["mean_difference"] is not None}
        if rows:
            made.append(_headline(results.about[metric], rows))
    return sorted(made, key=lambda headline: not headline.findings)


def opening(results: Results, made: list[Headline]) -> str:
    """The sentence above the headlines: how many metrics moved at all."""
    if not made:
        return f"There is nothing to compare with {results.baseline}."
    metrics = counted(len(made), "main metric")
    found = sum(bool(headline.findings) for headline in made)
    if found:
        return f"At least one arm differs from {results.baseline} on {found} of {metrics}."
    return (
        f"No arm can be told apart from {results.baseline} on any of {metrics}. That is no "
        "evidence of equality: each line gives the difference that this many prompts can show."
    )


def _headline(metric: Metric, rows: dict[str, Row]) -> Headline:
    places = decimals(row["mean_difference"] for row in rows.values())
    moved = [arm for arm, row in rows.items() if distinguishable(row)]
    moved.sort(key=lambda arm: -abs(rows[arm]["mean_difference"]))
    still = [arm for arm in rows if arm not in moved]
    findings = [
        Finding(
            direction=direction(metric.better, rows[arm]["mean_difference"]).capitalize(),
            arm=arm,
            change=signed(rows[arm]["mean_difference"], places),
            evidence=_evidence(rows[arm], places),
        )
        for arm in moved
    ]
    shown = power([rows[arm] for arm in still], places) if still else ""
    rest = f"Not told apart: {listed(still)} ({shown})." if still else ""
    return Headline(metric.label, findings, rest)


def _evidence(row: Row, places: int) -> str:
    ends = interval(row["ci_low"], row["ci_high"], places, signed)
    return f"{ends}, {p_value(row['p_adjusted'])}, {sizes([row['n']])}"
