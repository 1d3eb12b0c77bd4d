"""Which prompts are judged, where not all are: the same draw for scores, duels and controls.

Used by `alignlab.judging.score_answers`, `compare` and `controls`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from alignlab.core import tables
from alignlab.core.stable_random import lot
from alignlab.core.tables import Row


def drawn_prompts(paths: Sequence[Path], take: int | None, seed: int) -> dict[str, Row]:
    """Rows of prompts tables by prompt id: `take` of each category, or all; more contain fewer."""
    rows = [row for path in paths for row in tables.rows("prompts", path)]
    kinds: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        kinds[row["category"]].append(row["prompt_id"])
    taken = {
        prompt_id
        for ids in kinds.values()
        for prompt_id in sorted(ids, key=lambda each: lot(seed, "draw", each))[:take]
    }
    return {row["prompt_id"]: row for row in rows if row["prompt_id"] in taken}
