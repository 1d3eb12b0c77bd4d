"""What changed, in sentences that say no more than the paired comparisons do.

    python -m pytest tests/reporting/arms/test_findings.py

A difference is stated only where it is `measures.significant`; of everything else the smallest
difference is given that this many prompts could have shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from alignlab.core.tables import Row
from alignlab.metrics.definitions import Metric
from alignlab.reporting.arms.measures import Measure, significant
from alignlab.reporting.inputs import Results
from alignlab.reporting.wording import (
    counted,
    decimals,
    direction,
    interval,
    listed,
    number,
    p_value,
    power,
    signed,
    sizes,
)

NAMED = 4
"""How many arms a sentence names, the largest differences first."""


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
    differs = f"differs significantly from {results.baseline}"
    if found:
        return f"At least one arm {differs} on {found} of {metrics}."
    return (
        f"No arm {differs} on any of {metrics}. That is no "
        "evidence of equality: each line gives the effect that this many prompts can detect."
    )


def _headline(metric: Metric, rows: dict[str, Row]) -> Headline:
    places = decimals(row["mean_difference"] for row in rows.values())
    moved = [arm for arm, row in rows.items() if significant(row)]
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
    rest = f"No significant difference: {listed(still)} ({shown})." if still else ""
    return Headline(metric.label, findings, rest)


def _evidence(row: Row, places: int) -> str:
    ends = interval(row["ci_low"], row["ci_high"], places, signed)
    return f"{ends}, {p_value(row['p_adjusted'])}, {sizes([row['n']])}"


def sentences(measure: Measure) -> list[str]:
    """What one measure shows, a sentence for each arm that others are compared with.

    A judge that is not qualified shows nothing.
    """
    if measure.doubt:
        return [f"Not stated, since its judge is not qualified: {measure.doubt}."]
    return [_sentence(measure, against) for against in measure.changes]


def _sentence(measure: Measure, against: str) -> str:
    changes = measure.changes[against]
    # A comparison is null where too few answers have a score, or an arm was not asked.
    rows = {arm: row for arm, row in changes.items() if row["mean_difference"] is not None}
    if not rows:
        return f"Against {against}: nothing to compare."
    moved = [arm for arm, row in rows.items() if significant(row)]
    moved.sort(key=lambda arm: -abs(rows[arm]["mean_difference"]))
    said = []
    for word, sign in (("lower", -1), ("higher", 1)):
        arms = [arm for arm in moved if rows[arm]["mean_difference"] * sign > 0]
        if arms:
            amounts = [
                f"{arm} by {_amount(rows[arm], measure.change_places)}" for arm in arms[:NAMED]
            ]
            more = [f"{len(arms) - NAMED} more"] if len(arms) > NAMED else []
            meaning = "" if measure.better == "none" else f" ({direction(measure.better, sign)})"
            said.append(f"{word}{meaning} in {listed([*amounts, *more])}")
    still = [arm for arm in rows if arm not in moved]
    if still:
        shown = still if len(still) <= NAMED else [counted(len(still), "arm")]
        found = power([rows[arm] for arm in still], measure.change_places)
        said.append(f"no significant difference in {listed(shown)} ({found})")
    return f"Against {against}: {'; '.join(said)}."


def _amount(row: Row, places: int) -> str:
    """`0.31 [0.22, 0.40]`: how far apart, where a word says in which direction."""
    low, high = sorted(abs(row[end]) for end in ("ci_low", "ci_high"))
    return f"{number(abs(row['mean_difference']), places)}\u00a0{interval(low, high, places)}"
