"""What a report is made from.

python -m pytest tests/reporting/test_report.py
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Inputs:
    """An experiment's finished tables; null or empty where it has nothing of the kind.

    Attributes:
        statistics: table of that name.
        comparisons: table of that name; rows without the baseline are left out.
        breakdown: table of that name.
        responses: arm → responses table.
        metrics: arm → metrics table.
        judgements: arm → its judgements tables.
        prompts: prompts tables, in order of display.
        training: name of a tuned model → its table `training`.
        scenarios: table of that name.
        discrimination: table of that name.
        trainsets: table of that name.
        qualification: table of that name.
        winrates: table of that name.
        shift_figures: folder of the token-shift figures.
    """

    statistics: Path
    comparisons: Path
    breakdown: Path
    responses: Mapping[str, Path]
    metrics: Mapping[str, Path]
    judgements: Mapping[str, Sequence[Path]]
    prompts: Sequence[Path]
    training: Mapping[str, Path]
    scenarios: Path | None
    discrimination: Path | None
    trainsets: Path | None
    qualification: Path | None
    winrates: Path | None
    shift_figures: Path | None
