"""What a check of vLLM against transformers found: one row a model, for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alignlab.core import tables

# Mean difference of log-probabilities, in nats, that kernels alone explain.
TOLERANCE = {"float32": 0.001, "float16": 0.01, "bfloat16": 0.05}
MEASURED = (
    *("tokens", "mean_difference", "max_difference", "passed", "identical"),
    *("first_divergence", "largest_gap"),
)


def engine_row(path: Path) -> dict[str, Any]:
    """A model's check in numbers.

    Args:
        path: table `engine_checks`.

    Returns:
        model, dtype, prompts (that were compared), skipped (prompts that were not) and reason (why
        not: the most frequent one, else None), tokens, mean_difference and max_difference (nats,
        of the log-probabilities of vLLM's tokens), tolerance (of the mean), passed, identical
        (share of answers), first_divergence (median position, 0-based) and largest_gap (nats
        between the tokens where answers part); the last two are None if no answers part. Without
        a prompt that was compared all that is measured is None, `passed` too.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    spec = tables.spec_of(path)
    listed = list(tables.rows("engine_checks", path))
    rows = [row for row in listed if row["skipped"] is None]
    reasons = Counter(row["skipped"] for row in listed if row["skipped"] is not None)
    dtype = spec["engine"]["dtype"]
    return {
        "model": spec["model"],
        "dtype": dtype,
        "prompts": len(rows),
        "skipped": len(listed) - len(rows),
        "reason": max(reasons, key=reasons.__getitem__, default=None),
        "tolerance": TOLERANCE[dtype],
        **(_measured(rows, TOLERANCE[dtype]) if rows else dict.fromkeys(MEASURED)),
    }


def _measured(rows: Sequence[dict[str, Any]], tolerance: float) -> dict[str, Any]:
    """How far the engines are apart on prompts that were compared, one at least."""
    ours, theirs = (
        np.concatenate([row[f"{engine}_logprobs"] for row in rows])
        for engine in ("transformers", "vllm")
    )
    differences = np.abs(ours - theirs)
    parted = [row["first_divergence"] for row in rows if row["first_divergence"] is not None]
    gaps = [row["divergence_gap"] for row in rows if row["divergence_gap"] is not None]
    mean = float(differences.mean())
    return {
        "tokens": len(differences),
        "mean_difference": mean,
        "max_difference": float(differences.max()),
        "passed": mean <= tolerance,
        "identical": 1 - len(parted) / len(rows),
        "first_divergence": float(np.median(parted)) if parted else None,
        "largest_gap": max(gaps, default=None),
    }


def engine_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The same as text, a line a model."""
    return [_line(row) for row in rows]


def _line(row: dict[str, Any]) -> str:
    if row["passed"] is None:
        return f"vLLM was NOT CHECKED against transformers on {row['model']}: {row['reason']}."
    return (
        f"vLLM {'agrees' if row['passed'] else 'DISAGREES'} with transformers on {row['model']} "
        f"({row['dtype']}): log-probabilities differ by {row['mean_difference']:.2g} nats on "
        f"average (tolerance {row['tolerance']:g}), {row['identical']:.0%} of {row['prompts']} "
        "greedy answers are identical."
        + (
            f" {row['skipped']} prompts were not compared: {row['reason']}."
            if row["skipped"]
            else ""
        )
    )
