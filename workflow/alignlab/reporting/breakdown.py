"""Means by tag, source, category and turn, as the page's script draws them.

snakemake --cores 2 results/demo/report/index.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alignlab.core import tables
from alignlab.reporting.results import Results, finite

DIGITS = 3
"""Decimals of a mean or an end of an interval: one more than is shown."""


def read_breakdown(path: Path, results: Results) -> dict[str, Any]:
    """Nested by metric, `by`, group and arm: `[mean, low, high, n, coverage]`.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    nested: dict[str, Any] = {}
    for row in map(finite, tables.rows("breakdown", path)):
        if row["metric"] not in results.metrics:
            continue
        groups = nested.setdefault(row["metric"], {}).setdefault(row["by"], {})
        values = [_rounded(row[key]) for key in ("mean", "ci_low", "ci_high")]
        groups.setdefault(row["group"], {})[row["arm"]] = [
            *values,
            row["n"],
            _rounded(row["coverage"]),
        ]
    return nested


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
