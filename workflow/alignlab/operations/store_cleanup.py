"""What the store holds that nothing names any more.

alignlab gc --delete
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from alignlab.core.errors import AlignlabError
from alignlab.experiment.plan import Plan
from alignlab.operations import store_locks
from alignlab.planning.artefact import RESULTS, STORE

DAY = 24 * 60 * 60


def unnamed(plans: list[Plan]) -> list[Path]:
    """Entries of the store that no plan, no run going on and no finished experiment names.

    What killed jobs left half-written is among them, once nobody has touched it for a day.

    Raises:
        AlignlabError: the manifest of a finished experiment is damaged.
    """
    named = {str(artefact.path) for plan in plans for artefact in plan}
    named |= {path for run in store_locks.live() for path in run.needs}
    for manifest in RESULTS.glob("*/manifest.json"):
        named |= {artefact["path"] for artefact in _artefacts(manifest)}
    keys = {Path(path).name.removesuffix(".parquet") for path in named}
    # Replies of an endpoint outlive the digests of the tables that they fill: they were paid for.
    keys |= {f"{_replies(Path(path))}.jsonl" for path in named} | {f"{key}.json" for key in keys}
    stages = sorted(STORE.glob("[!.]*"))
    # `.parts` and `aside` belong to arms that are running; hidden files are being written.
    entries = [path for stage in stages for path in sorted(stage.glob("[!.]*"))]
    left = [path for stage in stages for path in sorted(stage.glob(".*")) if _is_old(path)]
    return left + [
        p for p in entries if p.name.removesuffix(".parts").removesuffix(".parquet") not in keys
    ]


def _artefacts(manifest: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(manifest.read_text(encoding="utf-8"))["artefacts"]
    except (ValueError, KeyError) as error:
        raise AlignlabError(
            f"{manifest}: damaged, so nobody knows what {manifest.parent.name} was made from; "
            "remove it and run the experiment again"
        ) from error


def _is_old(path: Path) -> bool:
    return path.lstat().st_mtime < time.time() - DAY


def _replies(path: Path) -> str:
    return f"{path.parent.name}.{path.name.rpartition('-')[0]}"
