"""`workflow/stages.lock`: which version of a code unit a fingerprint stands for.

Where the code is as recorded, names of artefacts carry the version, so that an upgrade that changes
no value makes nothing again. Where somebody edited it they carry its fingerprint, so that no edit
passes unseen. `make stages` brings the lock up to date.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from alignlab.core.errors import AlignlabError
from alignlab.planning.fingerprint import PACKAGE, Code, code

HEAD = """\
# Unit of code, its version, the fingerprint of the code that this version stands for today, and the
# one that it came with.
# Written by `make stages`, which compares what old and new code make; not meant to be edited.
"""
LOCK = PACKAGE.parent / "stages.lock"
LINE = re.compile(r"(?P<unit>\S+(?: \S+)*) +(?P<version>\S+) +(?P<fingerprint>\S+) +(?P<since>\S+)")
FINGERPRINT = re.compile(r"[0-9a-f]{12}")


class Recorded(NamedTuple):
    """What the lock says of a unit."""

    version: int
    fingerprint: str
    since: str
    """The fingerprint with which this version came: two drafts of a version have two names."""


def read_lock(path: Path) -> dict[str, Recorded]:
    """The lines of a lock, by unit.

    Raises:
        AlignlabError: it is missing, or a line is not as it should be.
    """
    if not path.is_file():
        raise AlignlabError(f"{path}: no such file; `make stages` writes it")
    return parse_lock(path.read_text(encoding="utf-8"), str(path))


def parse_lock(text: str, path: str) -> dict[str, Recorded]:
    """The lines of a lock's text, by unit; `path` is for messages.

    Raises:
        AlignlabError: a line has no three parts, a unit is there twice, a version is no positive
            whole number, or a fingerprint is not 12 hex digits.
    """
    found: dict[str, Recorded] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path}: line {number}"
        parts = LINE.fullmatch(line.strip())
        if not parts:
            raise AlignlabError(f"{where}: expected unit, version, 2 fingerprints, not {line!r}")
        unit, version, *fingerprints = parts.group("unit", "version", "fingerprint", "since")
        if unit in found:
            raise AlignlabError(f"{where}: unit {unit!r} is there twice")
        if not re.fullmatch(r"[1-9][0-9]*", version):
            raise AlignlabError(
                f"{where}: version of {unit!r}: expected a positive whole number, not {version!r}"
            )
        for fingerprint in fingerprints:
            if not FINGERPRINT.fullmatch(fingerprint):
                raise AlignlabError(
                    f"{where}: fingerprint of {unit!r}: expected 12 hex digits, not {fingerprint!r}"
                )
        found[unit] = Recorded(int(version), *fingerprints)
    return found


def lock_text(recorded: Mapping[str, Recorded]) -> str:
    """A lock as it is written: a line a unit, sorted."""
    width = max(map(len, recorded), default=0)
    lines = [
        f"{u:<{width}}  {r.version:>3}  {r.fingerprint}  {r.since}\n" for u, r in recorded.items()
    ]
    return HEAD + "".join(sorted(lines))


class Unit(NamedTuple):
    """Code that has a version of its own: an entry module, with all that it imports.

    Attributes:
        name: what digests and the lock call it; it stays when the module moves.
        module: the entry module.
        entry: a function of it that is found by its name at run time.
        versioned: else its fingerprint always counts: a page costs seconds to make again.
        environment: the folder of an environment of its own, which it needs to run.
    """

    name: str
    module: str
    entry: str = ""
    versioned: bool = True
    environment: str = ""


def check_units(recorded: Iterable[str], units: Iterable[str], path: Path) -> None:
    """Compare the units of a lock with those of the code.

    Raises:
        AlignlabError: the lock names a unit that is not there, or lacks one that is.
    """
    recorded, units = set(recorded), set(units)
    if gone := sorted(recorded - units):
        raise AlignlabError(f"{path}: no such unit: {', '.join(gone)}; run `make stages`")
    if new := sorted(units - recorded):
        raise AlignlabError(f"{path}: no line for {', '.join(new)}; run `make stages`")


@dataclass(frozen=True)
class Versions:
    """The versions of code units.

    Attributes:
        recorded: what the lock says, by unit.
        code: the package that has their modules.
    """

    recorded: Mapping[str, Recorded]
    code: Code

    def code_of(self, *units: Unit) -> dict[str, str]:
        """Unit → its version where its code is as recorded, else its fingerprint.

        A version is `<number>-<fingerprint>`, with the fingerprint that it came with.

        Raises:
            AlignlabError: the lock has no line for a unit.
        """
        return {unit.name: self._said(unit) for unit in units}

    def behind(self, units: Iterable[Unit]) -> list[str]:
        """Of units with a version, those whose code is not as recorded, sorted."""
        kept = (unit for unit in units if unit.versioned)
        return sorted(unit.name for unit in kept if FINGERPRINT.fullmatch(self._said(unit)))

    def _said(self, unit: Unit) -> str:
        found = self.code.fingerprint(unit.module, unit.entry)
        if not unit.versioned:
            return found
        if unit.name not in self.recorded:
            raise AlignlabError(f"{LOCK}: no line for {unit.name}; run `make stages`")
        known = self.recorded[unit.name]
        return f"{known.version}-{known.since}" if found == known.fingerprint else found


@cache
def versions() -> Versions:
    """The versions of this package's code.

    Raises:
        AlignlabError: the lock is missing, or a line of it is wrong.
    """
    return Versions(read_lock(LOCK), code())


def code_of(*units: Unit) -> dict[str, str]:
    """What an artefact's slice says of the code behind it; see `Versions.code_of`."""
    return versions().code_of(*units)
