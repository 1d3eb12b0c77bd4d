"""Whether what lies under an experiment's name is what its plan makes today.

Tables, figures and pages have fixed names, which say nothing of what is in them. A job that made
some writes down what it was asked for, and the checksums of its files, in
`results/<experiment>/.made/<rule>.json`. Every run compares both at its start. Snakemake's metadata
cannot tell: it is lost with `.snakemake`, is not copied with the results, and knows no content.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from alignlab.core.checksums import sha256
from alignlab.core.config import StrictModel
from alignlab.core.tables import explained, replacing
from alignlab.planning.artefact import RESULTS, STORE
from alignlab.planning.digest import config_digest

MADE = ".made"


class Record(StrictModel):
    """What a job made.

    Attributes:
        asked: digest of what its rule asks for, attempts at endpoints included.
        files: path below the experiment's folder → SHA-256.
    """

    asked: str
    files: dict[str, str]


def note(rule: str, outputs: Iterable[str], params: Mapping[str, Any]) -> None:
    """Write down what a job has made, and remove what it made before and no longer does.

    Nothing for what lies in the store, whose names say what is in them.

    Raises:
        AlignlabError: the folder cannot be written.
    """
    paths = list(map(Path, outputs))
    if STORE in paths[0].parents or RESULTS not in paths[0].parents:
        return
    folder = RESULTS / paths[0].relative_to(RESULTS).parts[0]
    record = folder / MADE / f"{rule}.json"
    files = {str(path.relative_to(folder)): sha256(path) for path in _files(paths)}
    before = _read(record)
    if before:
        _remove(folder, before.files.keys() - files)
    with replacing(record) as temporary:
        made = Record(asked=_digest(params), files=files)
        temporary.write_text(made.model_dump_json(indent=1), encoding="utf-8")


def is_current(folder: Path, rule: str, params: Mapping[str, Any]) -> bool:
    """Whether a rule's files are as its last job left them, and that was asked for the same."""
    made = _read(folder / MADE / f"{rule}.json")
    if made is None or made.asked != _digest(params):
        return False
    files = {folder / name: digest for name, digest in made.files.items()}
    return all(path.is_file() and sha256(path) == digest for path, digest in files.items())


def forget(folder: Path, rules: Collection[str]) -> None:
    """Remove what rules made that the experiment no longer has; `rules` are those of today.

    Raises:
        AlignlabError: it is somebody else's.
    """
    for record in (folder / MADE).glob("[!.]*.json"):
        if record.stem not in rules:
            made = _read(record)
            with explained(folder):
                _remove(folder, made.files if made else ())
                record.unlink()


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        found = sorted(path.rglob("[!.]*")) if path.is_dir() else [path]
        yield from (each for each in found if each.is_file())


def _digest(params: Mapping[str, Any]) -> str:
    """Of what a rule is asked for; `job` follows from it, and says where files lie."""
    return config_digest({name: value for name, value in params.items() if name != "job"})


def _read(record: Path) -> Record | None:
    """Null if there is none, or it says nothing: then everything is made again."""
    try:
        return Record.model_validate_json(record.read_bytes())
    except (OSError, ValidationError):
        return None


def _remove(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        if ".." not in Path(name).parts:  # a record that somebody wrote must not reach further
            (folder / name).unlink(missing_ok=True)
