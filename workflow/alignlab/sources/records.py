"""Reading the records of a data file of any format, with the named columns alone.

Nothing is guessed: null, NaN and what a record lacks are None, and whatever makes a file ambiguous
(a key or a header twice) is an error that names the place.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import reprlib
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from alignlab.core.config import read_yaml
from alignlab.core.errors import AlignlabError
from alignlab.sources.formats import require_no_pointer

Record = dict[str, Any]
# Beyond which a packed file is not unpacked; texts pack to a tenth.
MOST_TIMES, ALWAYS_BYTES = 100, 1 << 26


def read(path: Path, columns: Iterable[str]) -> list[Record]:
    """Every record of a file, in order, with the named columns alone; its suffix says its format.

    Null, NaN and what a record lacks are None, also within lists and objects.

    Raises:
        AlignlabError: unknown suffix, damaged content, text that is not UTF-8, no records, a column
            that none of them has, or a cell that holds half a surrogate pair.
    """
    require_no_pointer(path)
    wanted = list(dict.fromkeys(columns))
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix in _PARSERS:
        records = _PARSERS[suffix](_text(path), path)
    elif path.suffix == ".yaml":
        records = _yaml(path)
    elif path.suffix == ".parquet":
        records = _parquet(path, wanted)
    else:
        raise AlignlabError(
            f"{path}: unknown format; expected .json, .jsonl, .csv (or these .gz), .yaml, .parquet"
        )
    if not records:
        raise AlignlabError(f"{path}: there are no records in it")
    _require((key for record in records for key in record), wanted, path)
    return [
        _cells(record, wanted, f"{path}: row {n}, counted from 0")
        for n, record in enumerate(records)
    ]


def _require(there: Iterable[Any], wanted: list[str], path: Path) -> None:
    """Check that every wanted column is there."""
    named = [name for name in dict.fromkeys(there) if name]
    for name in wanted:
        if name not in named:
            listed = ", ".join(map(repr, named))
            raise AlignlabError(f"{path}: no column {name!r}; there are {listed}")


def _cells(record: Record, wanted: list[str], place: str) -> Record:
    cells = {}
    for name in wanted:
        try:
            cells[name] = _cell(record.get(name))
        except UnicodeEncodeError as error:
            half = f"{error.object[error.start]!r} (character {error.start}) is half a surrogate"
            raise AlignlabError(f"{place}: column {name!r}: {half} pair; correct it") from None
        except RecursionError:
            raise AlignlabError(f"{place}: column {name!r} is nested too deeply") from None
    return cells


def _cell(value: Any) -> Any:
    """The value with None for NaN, at any depth; no text may hold half a surrogate pair."""
    if isinstance(value, list):
        return [_cell(item) for item in value]
    if isinstance(value, dict):
        return {key: _cell(item) for key, item in value.items()}
    if isinstance(value, str):
        value.encode()  # raises UnicodeEncodeError
    return None if isinstance(value, float) and math.isnan(value) else value


def normalised(text: str) -> str:
    """A text by which records of the same question find each other: line breaks are but spaces."""
    return " ".join(text.split())


def _text(path: Path) -> str:
    try:
        raw = _unpacked(path) if path.suffix == ".gz" else path.read_bytes()
        return raw.decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise AlignlabError(f"{path}: damaged gzip file: {error}") from error
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise AlignlabError(
            f"{path}: not UTF-8 at byte {error.start} (line {line}); save it as UTF-8"
        ) from error


def _unpacked(path: Path) -> bytes:
    """Content of a gzip file, whose size is known when it has been read: up to a limit."""
    most = max(ALWAYS_BYTES, MOST_TIMES * path.stat().st_size)
    with gzip.open(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise AlignlabError(
            f"{path}: it would unpack to more than {MOST_TIMES} times its size: not unpacked"
        )
    return content


def _loads(text: str) -> Any:
    """JSON whose objects have each key once.

    Raises:
        ValueError: it is no such JSON; the message says why.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError as error:
        raise ValueError("lists or objects are nested too deeply") from error


def _unique(pairs: list[tuple[str, Any]]) -> Record:
    found: Record = {}
    for key, value in pairs:
        if key in found:
            first, second = reprlib.repr(found[key]), reprlib.repr(value)
            raise ValueError(f"an object has the key {key!r} twice: {first} and {second}")
        found[key] = value
    return found


def _json(text: str, path: Path) -> list[Record]:
    try:
        content = _loads(text)
    except ValueError as error:
        raise AlignlabError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise AlignlabError(f"{path}: expected a JSON list of objects")
    return content


def _jsonl(text: str, path: Path) -> list[Record]:
    records = []
    # Not splitlines(): it also cuts at U+2028, which is legal inside a JSON string.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = _loads(line)
        except ValueError as error:
            why = error.msg if isinstance(error, json.JSONDecodeError) else error
            raise AlignlabError(f"{path}: line {number}: not valid JSON: {why}") from error
        if not isinstance(record, dict):
            raise AlignlabError(f"{path}: line {number}: expected a JSON object")
        records.append(record)
    return records


def _csv(text: str, path: Path) -> list[Record]:
    """Rows under a header; a blank line is no row, and an empty cell is absent."""
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines, read = [], 0
    try:
        for line in reader:
            lines.append(line)
            read = reader.line_num
    except csv.Error as error:
        raise AlignlabError(f"{path}: after line {read}: not valid CSV: {error}") from error
    header, *rows = [line for line in lines if line] or [[]]
    if twice := [name for name, times in Counter(header).items() if name and times > 1]:
        raise AlignlabError(f"{path}: the header has the column {twice[0]!r} twice")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            cells = f"expected {len(header)} cells, found {len(row)}"
            raise AlignlabError(f"{path}: row {number}, counted from 0: {cells}")
    return [dict(zip(header, (cell or None for cell in row), strict=True)) for row in rows]


def _yaml(path: Path) -> list[Record]:
    """A list of mappings, or one mapping whose only key holds such a list."""
    content = read_yaml(path)
    if isinstance(content, dict) and len(content) == 1:
        (content,) = content.values()
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise AlignlabError(f"{path}: expected a list of mappings, or one key that holds one")
    return content


def _parquet(path: Path, wanted: list[str]) -> list[Record]:
    """Rows of the wanted columns; no other one is decoded."""
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _require(names, wanted, path)
            table = file.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise AlignlabError(f"{path}: damaged Parquet file: {error}") from error
    columns = []
    for name in wanted:
        if names.count(name) > 1:
            raise AlignlabError(f"{path}: there are two columns {name!r}")
        try:
            columns.append(table.column(name).to_pylist())
        # A time beyond Python's, an unknown time zone, text that is not UTF-8.
        except (ValueError, OverflowError, LookupError) as error:
            what = f"column {name!r} of type {table.column(name).type}"
            raise AlignlabError(f"{path}: {what} cannot be read: {error}") from error
    return [dict(zip(wanted, cells, strict=True)) for cells in zip(*columns, strict=True)]


_PARSERS: dict[str, Callable[[str, Path], list[Record]]] = {
    ".json": _json,
    ".jsonl": _jsonl,
    ".csv": _csv,
}
