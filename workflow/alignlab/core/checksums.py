"""Checksums of a folder of the store, in the form that `sha256sum --check SHA256SUMS` reads.

A folder gets them when it is made; a job checks the folders among its inputs before it uses one.
Reading the weights for this warms the page cache for the load that follows.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alignlab.core.errors import AlignlabError

# Whether files are whole, not what is in them.
CHANGES_NO_VALUE = True

SUMS = "SHA256SUMS"


def mend(path: str | Path) -> str:
    """How a damaged file or folder of the store is made anew, and nothing else with it."""
    command = f"snakemake --cores 1 --config experiment=... -- {path}"
    return f"remove {path} and run `{command}`, which makes it alone, before you run the rest"


def sign(folder: Path) -> None:
    """Write the checksums of all files of a folder into it."""
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    lines = [
        f"{digest}  {name}\n" for digest, name in zip(_digests(folder, names), names, strict=True)
    ]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def verify(folder: Path) -> None:
    """Check the files of a folder; one without checksums passes, it is none of the store.

    Raises:
        AlignlabError: a file is missing or is not what was written.
    """
    if not (folder / SUMS).is_file():
        return
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    expected = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in expected:
        if not (folder / name).is_file():
            raise AlignlabError(f"{folder / name}: missing, but {SUMS} names it; {mend(folder)}")
    for name, digest in zip(expected, _digests(folder, list(expected)), strict=True):
        if digest != expected[name]:
            raise AlignlabError(f"{folder / name}: damaged, {SUMS} differs; {mend(folder)}")


def _digests(folder: Path, names: list[str]) -> list[str]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda name: sha256(folder / name), names))


def sha256(path: Path) -> str:
    """Hex digits of a file's checksum."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
