"""Which attempt at a table is due, so that rows which an endpoint failed are asked again.

Used by `workflow/rules`, as a param, by `answering.generate` and by `judging.score_answers`. The
note lies beside the replies: Snakemake deletes the table itself before a further attempt.
"""

from __future__ import annotations

import json
from pathlib import Path

from alignlab.core.tables import replacing

API_ERROR, NO_ROOM = "api_error", "max_usd"
"""Why there is no answer, where a further attempt may bring one."""


def due(note: Path, max_usd: float | None) -> int:
    """The number of the attempt that a table needs: of the last, or one more if that left rows.

    Rows that failed are asked again by every run; rows that `max_usd` left no room for, once
    another limit is set.
    """
    if not note.exists():
        return 1
    last = json.loads(note.read_text(encoding="utf-8"))
    again = last["failed"] or (last["no_room"] and last["max_usd"] != max_usd)
    return int(last["attempt"]) + bool(again)


def write(note: Path, attempt: int, failed: int, no_room: int, max_usd: float | None) -> None:
    """Say how many rows an attempt failed to fill, and how many its limit left no room for."""
    told = {"attempt": attempt, "failed": failed, "no_room": no_room, "max_usd": max_usd}
    with replacing(note) as temporary:
        temporary.write_text(json.dumps(told), encoding="utf-8")
