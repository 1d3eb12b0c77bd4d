"""Which runs use the store now, so that neither another run nor `alignlab gc` disturbs them.

Also finds what `alignlab gc` may remove. A run writes what it needs to `results/store/.running/`
and locks that file (flock) until it ends, even when killed: the system frees the lock. Two runs may
share a store, also from two checkouts, unless both would make the same artefact: Snakemake deletes
what it is about to make, and its own lock ends at the working directory.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from alignlab.core.config import StrictModel
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import explained
from alignlab.experiment.plan import Plan
from alignlab.planning.artefact import RESULTS, STORE, Artefact

RUNNING = STORE / ".running"
_held: list[IO[str]] = []
DAY = 24 * 60 * 60


class Run(StrictModel):
    """A run that is going on.

    Attributes:
        experiment: its name.
        host: machine of its main process.
        process: id of that process.
        directory: where it was started.
        needs: paths of its artefacts in the store, and of its folder of results.
    """

    experiment: str
    host: str
    process: int
    directory: str
    needs: list[str]


def claim(plan: Plan, due: Sequence[Artefact]) -> None:
    """Say, until this process ends, what it needs of the store.

    A run that adds nothing to a store may use one that it cannot write.

    Args:
        plan: of the experiment.
        due: those of its artefacts that are about to be made.

    Raises:
        AlignlabError: another run needs what this one is about to make, or the store, to which it
            would add something, cannot be written.
    """
    if not due and not os.access(STORE, os.W_OK):
        return
    folder = str(plan.folder.resolve())
    with none_starting():
        for run in live():
            _refuse_if_shared([*_files(due), folder], run)
        mine = Run(
            experiment=plan.experiment.name,
            host=socket.gethostname(),
            process=os.getpid(),
            directory=str(Path.cwd()),
            needs=[*_files(plan), folder],
        )
        _write(mine)


@contextmanager
def none_starting() -> Iterator[None]:
    """Keep runs from starting while the block runs.

    Raises:
        AlignlabError: the store cannot be written.
    """
    with explained(STORE):
        RUNNING.mkdir(parents=True, exist_ok=True)
        gate = (RUNNING / "gate").open("a")
    with gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield


def live() -> list[Run]:
    """The runs that are going on."""
    return [run for path in RUNNING.glob("*.json") if (run := _read(path))]


def some_were_killed() -> bool:
    """Whether a run was killed that used the store: its file is still there, and not locked."""
    return any(_read(path) is None for path in RUNNING.glob("*.json"))


def _read(path: Path) -> Run | None:
    """The run of a file, or nothing if its process has ended."""
    with path.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return Run.model_validate_json(file.read())
    return None


def _files(artefacts: Iterable[Artefact]) -> Iterator[str]:
    """What they are, and the replies that they are made from, which other digests may share."""
    for artefact in artefacts:
        yield str(artefact.path)
        if artefact.runtime:
            yield str(artefact.replies)


def _refuse_if_shared(wanted: list[str], run: Run) -> None:
    needs = set(run.needs)
    if shared := [path for path in wanted if path in needs]:
        raise AlignlabError(
            f"{shared[0]}: experiment {run.experiment}, running in {run.directory} (process "
            f"{run.process} of {run.host}), makes it too; start again when that run has ended"
        )


def _write(run: Run) -> None:
    path = RUNNING / f"{run.experiment}.{run.host}.{run.process}.json"
    with explained(STORE):
        file = path.open("w", encoding="utf-8")
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(run.model_dump_json())
        file.flush()
    _held.append(file)
    atexit.register(path.unlink, missing_ok=True)


def unnamed(plans: list[Plan]) -> list[Path]:
    """Entries of the store that no plan, no run going on and no finished experiment names.

    What killed jobs left half-written is among them, once nobody has touched it for a day.

    Raises:
        AlignlabError: the manifest of a finished experiment is damaged.
    """
    named = {str(artefact.path) for plan in plans for artefact in plan}
    named |= {path for run in live() for path in run.needs}
    for manifest in RESULTS.glob("*/manifest.json"):
        named |= {artefact["path"] for artefact in _artefacts(manifest)}
    keys = {Path(path).name.removesuffix(".parquet") for path in named}
    # Replies of an endpoint outlive the digests of the tables that they fill: they were paid for.
    keys |= {f"{_replies(Path(path))}.jsonl" for path in named} | {f"{key}.json" for key in keys}
    stages = sorted(STORE.glob("[!.]*"))
    # `.parts` and `aside` belong to arms that are running; hidden files are being written.
    entries = [path for stage in stages for path in sorted(stage.glob("[!.]*"))]
    left = [path for stage in stages for path in sorted(stage.glob(".*")) if _is_old(path)]
    return left + [
        p for p in entries if p.name.removesuffix(".parts").removesuffix(".parquet") not in keys
    ]


def _artefacts(manifest: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(manifest.read_text(encoding="utf-8"))["artefacts"]
    except (ValueError, KeyError) as error:
        raise AlignlabError(
            f"{manifest}: damaged, so nobody knows what {manifest.parent.name} was made from; "
            "remove it and run the experiment again"
        ) from error


def _is_old(path: Path) -> bool:
    return path.lstat().st_mtime < time.time() - DAY


def _replies(path: Path) -> str:
    return f"{path.parent.name}.{path.name.rpartition('-')[0]}"
