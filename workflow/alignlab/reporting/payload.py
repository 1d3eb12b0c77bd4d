"""What the page's scripts are given: one JSON object, safe inside a <script> element.

python -m pytest tests/reporting/test_payload.py
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from alignlab.core.tables import Row
from alignlab.reporting.formats import decimals, settings
from alignlab.reporting.headlines import distinguishable
from alignlab.reporting.judged import Aspect
from alignlab.reporting.results import Grid, Results

PROMPT_LIMIT = 400
# In a script element HTML sees `<` and old JavaScript sees two line separators; JSON needs none.
ESCAPES = {"<": "\\u003c", ">": "\\u003e", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def embed(data: Any) -> Markup:
    """JSON that no text inside it can break out of, for `<script type="application/json">`."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in ESCAPES.items():
        text = text.replace(character, escape)
    return Markup(text)


def payload(results: Results, first_prompts: Mapping[str, str]) -> dict[str, Any]:
    """Everything the scripts draw: arms, metrics, slices and the first `PROMPT_LIMIT` prompts."""
    return {
        "baseline": results.baseline,
        "arms": [_arm(entry) for entry in results.arms],
        "metrics": [_metric(results, name) for name in results.metrics],
        "slices": slices(results),
        "prompts": [_prompt(results, row) for row in results.prompts[:PROMPT_LIMIT]],
        "firstPrompts": [
            {"arm": name, "text": first_prompts[name]}
            for name in results.names
            if name in first_prompts
        ],
    }


def _arm(entry: Mapping[str, Any]) -> dict[str, str]:
    method = entry["method"]
    return {
        "name": entry["name"],
        "model": entry["model"],
        "role": entry["role"],
        "method": method["kind"],
        "settings": settings(method),
    }


def _metric(results: Results, name: str) -> dict[str, Any]:
    about, aspect = results.about[name], results.aspects.get(name)
    means = [_short(row["mean"]) for _, row in _cells(results.estimates[("all", "all")], name)]
    changes = [
        _short(row["mean_difference"])
        for _, row in _cells(results.differences.get("all", {}), name)
    ]
    return {
        "name": name,
        "label": about.label,
        "unit": about.unit,
        "better": about.better,
        "description": about.description,
        "main": name in results.main,
        # Likert means: a third digit is noise.
        "decimals": min(2, decimals(means)) if aspect else decimals(means),
        "changeDecimals": min(2, decimals(changes)) if aspect else decimals(changes),
        "aspect": _aspect(aspect) if aspect else None,
    }


def _aspect(aspect: Aspect) -> dict[str, Any]:
    return {
        "judge": aspect.judge,
        "label": aspect.label,
        "doubt": aspect.doubt,
        "ownArms": aspect.own_arms,
        "minCoverage": aspect.min_coverage,
    }


def slices(results: Results) -> list[dict[str, Any]]:
    """The leaderboard's slices, each set of prompts once.

    A dataset of one category makes the same set three times over (`all` safety, the dataset, the
    dataset's safety prompts); the one with paired comparisons, which are per dataset, is kept.
    """
    kept: dict[frozenset[str], dict[str, Any]] = {}
    for (dataset, category), grid in sorted(results.estimates.items(), key=_whole_datasets_first):
        members = _members(results, dataset, category)
        if members and members not in kept:
            changes = results.differences.get(dataset, {}) if category == "all" else {}
            kept[members] = {
                "label": _label(dataset, category),
                "prompts": len(members),
                "estimates": _compact(grid, _estimate),
                "differences": _compact(changes, _difference),
            }
    return list(kept.values())


def _whole_datasets_first(item: tuple[tuple[str, str], Grid]) -> tuple[bool, bool]:
    dataset, category = item[0]
    return category != "all", dataset != "all"


def _members(results: Results, dataset: str, category: str) -> frozenset[str]:
    return frozenset(
        row["prompt_id"]
        for row in results.prompts
        if dataset in ("all", row["dataset"]) and category in ("all", row["category"])
    )


def _label(dataset: str, category: str) -> str:
    if dataset == "all":
        return "all prompts" if category == "all" else category
    return dataset if category == "all" else f"{dataset}, {category}"


def _compact(grid: Grid, shape: Any) -> dict[str, dict[str, Any]]:
    return {
        arm: {metric: shape(row) for metric, row in cells.items()} for arm, cells in grid.items()
    }


def _estimate(row: Row) -> dict[str, Any]:
    return {
        "value": _short(row["mean"]),
        "low": _short(row["ci_low"]),
        "high": _short(row["ci_high"]),
        "n": row["n"],
        "coverage": _short(row["coverage"]),
    }


def _difference(row: Row) -> dict[str, Any]:
    return {
        "value": _short(row["mean_difference"]),
        "low": _short(row["ci_low"]),
        "high": _short(row["ci_high"]),
        "n": row["n"],
        "p": _short(row["p_adjusted"]),
        "test": row["test"],
        "detectable": _short(row["minimum_detectable_effect"]),
        "told": distinguishable(row),
    }


def _prompt(results: Results, prompt: Row) -> dict[str, Any]:
    key = prompt["prompt_id"]
    return {
        "id": key,
        "dataset": prompt["dataset"],
        "category": prompt["category"],
        "tags": prompt["tags"],
        "turns": prompt["turns"],
        "answers": {
            arm: [_answer(results, arm, row) for row in results.answers[arm][key]]
            for arm in results.names
            if key in results.answers[arm]
        },
    }


def _answer(results: Results, arm: str, row: Row) -> Row:
    place = row["prompt_id"], row["turn"]
    values = results.measured[arm].get(place, {})
    said = results.judgements[arm].get((*place, row["sample"]), {})
    return {
        "turn": row["turn"],
        "text": row["text"],
        # Most answers are kept as generated; those are stored once.
        "raw": None if row["raw_text"] == row["text"] else row["raw_text"],
        "finish": row["finish_reason"],
        "trimmed": row["trimmed"],
        "metrics": {name: _short(value) for name, value in values.items() if value is not None},
        "judged": {name: _judgement(row) for name, row in said.items()},
    }


def _judgement(row: Row) -> dict[str, Any]:
    """What a judge said of one aspect, without what it did not say; there are very many."""
    score, shares = row["score"], row["distribution"]
    said = {
        "status": None if row["status"] == "scored" else row["status"],
        "score": None if score is None else round(score, 2),
        "shares": [round(share, 2) for share in shares] if shares else None,
        "reason": row["reason"],
    }
    return {key: value for key, value in said.items() if value is not None}


def _cells(grid: Grid, metric: str) -> Iterable[tuple[str, Row]]:
    return ((arm, cells[metric]) for arm, cells in grid.items() if metric in cells)


def _short(value: float | None) -> float | None:
    """Five significant digits: more than is shown, and half the page's size."""
    return None if value is None else float(f"{value:.5g}")
