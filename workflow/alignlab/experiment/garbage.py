"""What the store holds that nothing names any more.

alignlab gc --delete
"""

from __future__ import annotations

import json
from pathlib import Path

from alignlab.experiment.artefact import RESULTS, STORE
from alignlab.experiment.plan import Plan


def unnamed(plans: list[Plan]) -> list[Path]:
    """Entries of the store that neither a plan nor the manifest of a finished experiment names."""
    named = {str(artefact.path) for plan in plans for artefact in plan}
    for manifest in RESULTS.glob("*/manifest.json"):
        listed = json.loads(manifest.read_text(encoding="utf-8"))["artefacts"]
        named |= {artefact["path"] for artefact in listed}
    keys = {Path(path).name.removesuffix(".parquet") for path in named}
    # Replies of an endpoint outlive the digests of the tables that they fill: they were paid for.
    keys |= {f"{_replies(Path(path))}.jsonl" for path in named} | {f"{key}.json" for key in keys}
    # Hidden files are being written; `.parts` and `aside` belong to arms that are running.
    entries = [p for stage in sorted(STORE.glob("[!.]*")) for p in sorted(stage.glob("[!.]*"))]
    return [
        p for p in entries if p.name.removesuffix(".parts").removesuffix(".parquet") not in keys
    ]


def _replies(path: Path) -> str:
    return f"{path.parent.name}.{path.name.rpartition('-')[0]}"
