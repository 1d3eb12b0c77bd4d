"""Content digests: what makes a rerun cost exactly what a change affects.

A digest covers values and files, never key order. Which code is behind a value is a version:
`alignlab.planning`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from alignlab.core import checksums

T = TypeVar("T")

REMEMBERED = Path(".snakemake") / "alignlab-digests"
LARGE = 10_000_000
HIDDEN = re.compile(r"\.|(README|LICEN[CS]E|NOTICE)([.-]|$)", re.IGNORECASE)


def config_digest(value: Any) -> str:
    """First 12 hex digits of the SHA-256 of canonical JSON; key order never matters."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def remembered(key: Any, compute: Callable[[], T]) -> T:
    """What was computed of a key before: every job parses the plan, and digests take seconds."""
    memory = REMEMBERED / f"{config_digest(key)}.json"
    with suppress(OSError, ValueError):
        return json.loads(memory.read_text(encoding="utf-8"))
    value = compute()
    # Others may be reading: it is there as a whole or not at all.
    temporary = memory.with_name(f"{memory.name}.{os.getpid()}")
    with suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps(value), encoding="utf-8")
            temporary.replace(memory)
        finally:
            temporary.unlink(missing_ok=True)
    return value


def counted(folder: Path) -> list[Path]:
    """Files below a folder, relative to it, sorted.

    Not what is hidden, as the folders of git and of download tools are, and no README or licence:
    they differ between two copies of one thing.
    """
    found = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [name for name in found if not any(map(HIDDEN.match, name.parts))]


def file_digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files that count, with their relative names.

    That of a large file is remembered by its size and time.
    """
    if not path.is_file():
        return config_digest({str(name): file_digest(path / name) for name in counted(path)})
    state = path.stat()
    if state.st_size <= LARGE:
        return checksums.sha256(path)
    known = f"{path.resolve()}:{state.st_size}:{state.st_mtime_ns}"
    return remembered(known, lambda: checksums.sha256(path))
