"""Reads a file of records: JSON, JSON Lines, CSV (each also gzipped), YAML or Parquet.

    python -c "from alignlab.sources.records import read; print(len(read('questions.jsonl')))"

Datasets and published answers are both read here; what a column means is decided elsewhere.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from alignlab.core.config import read_yaml
from alignlab.core.errors import AlignlabError

Record = dict[str, Any]


def read(path: str | Path) -> list[Record]:
    """Every record of a file, in order; the file's suffix says its format.

    Raises:
        AlignlabError: unknown suffix, damaged content, text that is not UTF-8, or no records.
    """
    path = Path(path)
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix
    if suffix == ".parquet":
        records = _parquet(path)
    elif suffix == ".yaml":
        records = _yaml(path)
    elif suffix in _PARSERS:
        records = _PARSERS[suffix](_text(path), path)
    else:
        raise AlignlabError(
            f"{path}: unknown format {suffix!r}; expected .json, .jsonl, .csv, .yaml, .parquet"
        )
    if not records:
        raise AlignlabError(f"{path}: there are no records in it")
    return records


def require_columns(records: list[Record], names: Iterable[str], path: Path) -> None:
    """Check that every named column occurs in some record.

    Raises:
        AlignlabError: one occurs in none; the message lists the columns that there are.
    """
    there = list(dict.fromkeys(key for record in records for key in record))
    for name in names:
        if name not in there:
            raise AlignlabError(f"{path}: no column {name!r}; there are {', '.join(there)}")


def normalised(text: str) -> str:
    """A text by which records of the same question find each other: line breaks are but spaces."""
    return " ".join(text.split())


def _text(path: Path) -> str:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return raw.decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError) as error:
        raise AlignlabError(f"{path}: damaged gzip file: {error}") from error
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise AlignlabError(f"{path}: not UTF-8 at byte {error.start} (line {line})") from error


def _json(text: str, path: Path) -> list[Record]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
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
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise AlignlabError(f"{path}: line {number}: not valid JSON: {error.msg}") from error
        if not isinstance(record, dict):
            raise AlignlabError(f"{path}: line {number}: expected a JSON object")
        records.append(record)
    return records


def _csv(text: str, path: Path) -> list[Record]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        records = list(reader)
    except csv.Error as error:
        raise AlignlabError(
            f"{path}: after line {reader.line_num}: not valid CSV: {error}"
        ) from error
    for number, record in enumerate(records):
        if None in record or None in record.values():
            cells = len(reader.fieldnames or ())
            raise AlignlabError(f"{path}: row {number}: expected {cells} cells")
    return records


def _yaml(path: Path) -> list[Record]:
    """A list of mappings, or one mapping whose only key holds such a list."""
    content = read_yaml(path)
    if isinstance(content, dict) and len(content) == 1:
        (content,) = content.values()
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise AlignlabError(f"{path}: expected a list of mappings, or one key that holds one")
    return content


def _parquet(path: Path) -> list[Record]:
    try:
        return pq.read_table(path).to_pylist()
    except pa.ArrowInvalid as error:
        raise AlignlabError(f"{path}: damaged Parquet file: {error}") from error


_PARSERS: dict[str, Callable[[str, Path], list[Record]]] = {
    ".json": _json,
    ".jsonl": _jsonl,
    ".csv": _csv,
}
