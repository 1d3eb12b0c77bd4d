"""Whether two artefacts hold the same: tables column by column, folders file by file.

make stages                     # compares what old and new code make
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

MEASURED = {
    "seconds": "how long it took; no two runs take equally long",
}
"""Columns that say something of the run and not of the values → why they are not compared."""

DERIVED = {
    ".snakemake_timestamp": "Snakemake's own note of when it was made",
    "SHA256SUMS": "checksums of the other files, which are compared themselves",
    "alignlab.json": "metadata of a folder, as tables have it in themselves",
}
"""Files of folders that are not compared → why."""


def differences(old: Path, new: Path) -> list[str]:
    """What differs between two artefacts, in words; nothing if they hold the same.

    Metadata of tables (digests, versions of packages, the spec) is not compared.
    """
    if old.is_dir() != new.is_dir() or not new.exists():
        return [f"{new.name}: a folder on one side only, or missing"]
    return list(_of_folders(old, new) if old.is_dir() else _of_files(old, new))


def _of_folders(old: Path, new: Path) -> Iterator[str]:
    sides = [
        {p.relative_to(side) for p in side.rglob("*") if p.is_file() and p.name not in DERIVED}
        for side in (old, new)
    ]
    for name in sorted(sides[0] ^ sides[1]):
        yield f"{name}: on one side only"
    for name in sorted(sides[0] & sides[1]):
        yield from _of_files(old / name, new / name)


def _of_files(old: Path, new: Path) -> Iterator[str]:
    if old.suffix != ".parquet":
        if _sha256(old) != _sha256(new):
            yield f"{new.name}: other bytes"
        return
    yield from _of_tables(pq.read_table(old), pq.read_table(new), new.name)


def _of_tables(old: pa.Table, new: pa.Table, name: str) -> Iterator[str]:
    if old.column_names != new.column_names:
        yield f"{name}: columns {', '.join(sorted({*old.column_names} ^ {*new.column_names}))}"
        return
    if old.num_rows != new.num_rows:
        yield f"{name}: {old.num_rows} rows, and {new.num_rows}"
        return
    for column in old.column_names:
        if column in MEASURED:
            continue
        if old.schema.field(column).type != new.schema.field(column).type:
            yield f"{name}: column {column}: another type"
        # As text: a number that is none equals itself, and 0.0 is not -0.0.
        elif repr(old[column].to_pylist()) != repr(new[column].to_pylist()):
            yield f"{name}: column {column}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
