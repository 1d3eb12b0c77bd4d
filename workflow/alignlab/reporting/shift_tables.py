"""The token-shift page's aggregates, as the statistics room's tables give them.

    python -m pytest tests/reporting/test_shift_page.py

Shares are over tokens, pooled over prompts, with 95% bootstrap intervals over prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignlab.core import tables
from alignlab.core.tables import Row
from alignlab.reporting.formats import number, signed

COLUMNS = {
    "unshifted": "Unshifted",
    "marginal": "Marginal",
    "shifted": "Shifted",
    "top3": "In the top 3",
    "kl_aligned_base": "KL(aligned ‖ base)",
}
SHARES = ("unshifted", "marginal", "shifted", "top3")
# How many of the tokens most often shifted the page lists.
TOKENS_SHOWN = 60


@dataclass(frozen=True)
class Cell:
    """A value with its interval, as shown; empty where the table has none."""

    value: str
    interval: str
    share: float


@dataclass(frozen=True)
class Slice:
    """One line of the table of shares."""

    label: str
    whole: bool
    prompts: int
    tokens: int
    coverage: float | None
    cells: dict[str, Cell]


def slices(folder: Path, pair: Mapping[str, Any]) -> list[Slice]:
    """A pair's shares over all prompts, by category, and both without the end token.

    `folder` holds `shift_statistics.parquet`; a category that all prompts share is not repeated.
    """
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in _of(folder, "shift_statistics", pair):
        if row["dataset"] == "all" and row["weighting"] == "pooled" and row["metric"] in COLUMNS:
            found.setdefault((row["eos"], row["category"]), {})[row["metric"]] = row
    categories = [name for name in ("regular", "safety") if ("with", name) in found]
    shown = ["all", *categories] if len(categories) > 1 else ["all"]
    order = [(eos, category) for eos in ("with", "without") for category in shown]
    return [_slice(*key, found[key]) for key in order if key in found]


def _slice(eos: str, category: str, rows: Mapping[str, Row]) -> Slice:
    label = "all prompts" if category == "all" else category
    first = next(iter(rows.values()))
    return Slice(
        label=label if eos == "with" else f"{label}, end token left out",
        whole=(eos, category) == ("with", "all"),
        prompts=first["prompts"],
        tokens=first["tokens"],
        coverage=first["coverage"],
        cells={name: _cell(rows.get(name), name in SHARES) for name in COLUMNS},
    )


def comparisons(folder: Path) -> list[dict[str, Any]]:
    """Pairs against the first that scores the same answers: differences over all prompts.

    Each has `pair`, `against`, `tokens` and `cells`, a `Cell` for every key of `COLUMNS`.
    """
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in tables.rows("shift_comparisons", folder / "shift_comparisons.parquet"):
        if (row["dataset"], row["category"]) == ("all", "all") and row["metric"] in COLUMNS:
            found.setdefault((row["pair_a"], row["pair_b"]), {})[row["metric"]] = row
    return [
        {
            "pair": pair,
            "against": against,
            "tokens": next(iter(rows.values()))["tokens"],
            "cells": {name: _cell(rows[name], name in SHARES, signed) for name in COLUMNS},
        }
        for (pair, against), rows in found.items()
    ]


def _cell(row: Row | None, share: bool, shown_as: Callable[..., str] = number) -> Cell:
    known = {name: _known(row[name]) if row else None for name in ("value", "ci_low", "ci_high")}
    scale, places = (100, 1) if share else (1, 3)
    value, low, high = (
        shown_as(None if each is None else scale * each, places) for each in known.values()
    )
    interval = "" if known["ci_low"] is None else f"{low} to {high}"
    shown = f"{value}\u00a0%" if share and known["value"] is not None else value
    return Cell(shown, interval, known["value"] or 0.0)


def categories(folder: Path, pair: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A pair's rows of `shift_categories`, the largest share of shifted tokens first."""
    rows = [_compact(row) for row in _of(folder, "shift_categories", pair)]
    return sorted(rows, key=lambda row: -(row["share_of_shifted"] or 0.0))


def shifted_tokens(folder: Path, pair: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A pair's rows of `shifted_tokens`: the `TOKENS_SHOWN` most often shifted ones."""
    rows = [_compact(row) for row in _of(folder, "shifted_tokens", pair) if row["shifted"]]
    return sorted(rows, key=lambda row: -row["shifted"])[:TOKENS_SHOWN]


def _of(folder: Path, table: str, pair: Mapping[str, Any]) -> Iterator[Row]:
    wanted = (pair["name"], pair["template"])
    for row in tables.rows(table, folder / f"{table}.parquet"):
        if (row["pair"], row["template"]) == wanted:
            yield row


def _compact(row: Row) -> dict[str, Any]:
    return {
        name: _known(value) if isinstance(value, float) else value
        for name, value in row.items()
        if name not in ("pair", "template")
    }


def _known(value: float | None) -> float | None:
    """Five digits; JSON has no NaN, and it could not be drawn."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")
