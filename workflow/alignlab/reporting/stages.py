"""The artefacts of a report: statistics of arms, the report, the token-shift page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alignlab.planning.artefact import Artefact, Stage
from alignlab.planning.digest import file_digest
from alignlab.planning.versions import Unit

# What it says of artefacts is in the specs.
CHANGES_NO_VALUE = True

ASSETS = Path(__file__).parent / "assets"


def statistics(
    experiment: str, spec: Mapping[str, Any], parents: Mapping[str, Any], home: Path
) -> Artefact:
    """Means of arms, comparisons with the baseline, breakdowns, scenarios and contrasts.

    Args:
        experiment: its name.
        spec: the rest of `reporting.arms.values.StatisticsSpec`.
        parents: `metrics` by arm; `judgements`, arm → tables; `prompts`.
        home: the folder of the experiment's tables.
    """
    return Artefact(STATISTICS, experiment, {"experiment": experiment, **spec}, parents, home=home)


def report(
    experiment: str, spec: Mapping[str, Any], parents: Mapping[str, Any], home: Path
) -> Artefact:
    """The report; `spec` is the rest of `reporting.inputs.ReportSpec`."""
    content = {"experiment": experiment, **spec, "page": page_digests()}
    return Artefact(REPORT, experiment, content, parents, home=home)


def shift_page(
    experiment: str, spec: Mapping[str, Any], parents: Mapping[str, Any], home: Path
) -> Artefact:
    """The token-shift page; `spec` is the rest of `reporting.shift.page.ShiftPageSpec`."""
    content = {"experiment": experiment, **spec, "page": page_digests()}
    return Artefact(SHIFT_PAGE, experiment, content, parents, home=home)


def _beside_statistics(artefact: Artefact) -> tuple[str, ...]:
    scenarios = ("scenarios",) if artefact.content["scenarios"] else ()
    contrasts = ("contrasts",) if artefact.content.get("contrasts") else ()
    return ("comparisons", "breakdown", *scenarios, *contrasts)


def page_digests() -> list[str]:
    """Digests of the pages' own HTML, CSS and JavaScript."""
    return [file_digest(path) for path in sorted(ASSETS.rglob("*.*"))]


STATISTICS = Stage(
    name="statistics",
    table="statistics",
    beside=_beside_statistics,
    units=(Unit("statistics", "alignlab.reporting.arms.summarise"),),
)
REPORT = Stage(
    name="report",
    table=None,
    units=(
        Unit("report", "alignlab.reporting.report", versioned=False),
        Unit("manifest", "alignlab.operations.manifest", versioned=False),
    ),
)
SHIFT_PAGE = Stage(
    name="shift",
    table=None,
    units=(
        Unit("shift page", "alignlab.reporting.shift.page", versioned=False),
        Unit("shift figures", "alignlab.reporting.shift.figures", versioned=False),
    ),
)
