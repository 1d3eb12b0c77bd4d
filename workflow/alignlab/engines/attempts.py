"""Which attempt at a table is due, so that rows which an endpoint failed are asked again.

Used by `workflow/rules`, as a param, by `alignlab.generate` and by `alignlab.judging.judge`. The
note lies beside the replies: Snakemake deletes the table itself before a further attempt.
"""

from __future__ import annotations

import json
from pathlib import Path

from alignlab.tables import replacing

API_ERROR, NO_ROOM = "api_error", "max_usd"
MENDABLE = (API_ERROR, NO_ROOM)
"""Why there is no answer, where a further attempt may bring one."""


def due(note: Path) -> int:
    """The number of the attempt that a table needs: one more than the last if rows failed then."""
    if not note.exists():
        return 1
    last = json.loads(note.read_text(encoding="utf-8"))
    return int(last["attempt"]) + bool(last["failed"])


def pending(note: Path) -> bool:
    """Whether rows failed at the last attempt, so that the next run makes another one."""
    return note.exists() and bool(json.loads(note.read_text(encoding="utf-8"))["failed"])


def write(note: Path, attempt: int, failed: int) -> None:
    """Say how many rows an attempt failed to fill."""
    with replacing(note) as temporary:
        temporary.write_text(json.dumps({"attempt": attempt, "failed": failed}), encoding="utf-8")
