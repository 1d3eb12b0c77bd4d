"""Which experiments use the store, so that neither another run nor `alignlab gc` disturbs them.

Also finds what `alignlab gc` may remove. A run writes what its experiment needs to
`results/store/.running/` and locks that file (flock) until it ends, even when killed: the system
frees the lock. The file stays: what was begun or finished in one checkout is needed there, and
`gc` in another cannot know it from anywhere else. Two runs may share a store, also from two
checkouts, unless both would make the same artefact: Snakemake deletes what it is about to make, and
its own lock ends at the working directory.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from alignlab.core.config import StrictModel
from alignlab.core.errors import AlignlabError
from alignlab.core.sharing import make_folder, share
from alignlab.core.tables import explained, replacing
from alignlab.experiment.plan import Plan
from alignlab.planning.artefact import RESULTS, STORE, Artefact
from alignlab.planning.digest import config_digest

RUNNING = STORE / ".running"
DAY = 24 * 60 * 60
_held: list[IO[str]] = []
_starting: list[IO[str]] = []


class Run(StrictModel):
    """A run of an experiment, going on or ended.

    Attributes:
        experiment: its name.
        host: machine of its main process.
        process: id of that process.
        directory: where it was started.
        needs: paths of its artefacts in the store, and then that of its folder of results.
    """

    experiment: str
    host: str
    process: int
    directory: str
    needs: list[str]

    @property
    def folder(self) -> str:
        """Its folder of results, absolute: the experiment is given up by removing it."""
        return self.needs[-1]


def hold() -> None:
    """Keep `alignlab gc` waiting until `claim`, or the end of this process.

    What a run finds in the store while it plans must still be there when it says that it needs it.
    Nothing in a store that does not exist, or cannot be written: then no `gc` can begin.
    """
    with suppress(OSError):
        if STORE.is_dir():
            _starting.append(_locked("gate", fcntl.LOCK_SH, "`alignlab gc` is removing files"))


def claim(plan: Plan, due: Sequence[Artefact]) -> None:
    """Say what an experiment needs of the store, and until this process ends that it is running.

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
    with explained(STORE), _locked("claims", fcntl.LOCK_EX, "another run is starting"):
        for run in live():
            _refuse_if_shared([*_files(due), folder], run)
        make_folder(plan.folder)
        _write(_run(plan))
    while _starting:
        _starting.pop().close()


@contextmanager
def none_starting() -> Iterator[None]:
    """Keep runs from starting while the block runs.

    Raises:
        AlignlabError: the store cannot be written.
    """
    with explained(STORE):
        gate = _locked("gate", fcntl.LOCK_EX, "a run is starting")
    with gate:
        yield


def _locked(name: str, how: int, others: str) -> IO[str]:
    """A file that is locked until it is closed; says for what it waits."""
    make_folder(RUNNING)
    file = (RUNNING / name).open("a")
    share(RUNNING / name)
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"{STORE}: waiting: {others}", file=sys.stderr)
        fcntl.flock(file, how)
    return file


def live() -> list[Run]:
    """The runs that are going on."""
    return [run for _, run, goes_on in _runs() if goes_on]


def begun() -> list[Run]:
    """The runs that have ended, well or not, of experiments that nobody has given up."""
    return [run for _, run, goes_on in _runs() if not goes_on and not _is_given_up(run)]


def finished(plan: Plan) -> None:
    """Forget what an experiment needed before it was changed: its results are of today.

    Somebody else's files stay, and so does everything in a store that cannot be written.
    """
    mine = _run(plan)
    with suppress(AlignlabError):  # somebody else's note that cannot be read fails no manifest
        for path, run, goes_on in _runs():
            if run.folder == mine.folder and run.needs != mine.needs and not goes_on:
                with suppress(OSError):
                    path.unlink()


def _run(plan: Plan) -> Run:
    return Run(
        experiment=plan.experiment.name,
        host=socket.gethostname(),
        process=os.getpid(),
        directory=str(Path.cwd()),
        needs=[*_files(plan), str(plan.folder.resolve())],
    )


def _runs() -> Iterator[tuple[Path, Run, bool]]:
    """What is written of runs, where, and whether each goes on.

    Raises:
        AlignlabError: a file is damaged, or cannot be read.
    """
    for path in sorted(RUNNING.glob("*.json")):
        try:
            opened = path.open(encoding="utf-8")
        except FileNotFoundError:
            continue
        except PermissionError as error:
            raise AlignlabError(
                f"{path}: cannot be read, so nobody knows what it needs: whoever started that run "
                f"can make it readable (`chmod a+r`), or remove it: {error.strerror}"
            ) from error
        with opened as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                goes_on = False
            except BlockingIOError:
                goes_on = True
            try:
                yield path, Run.model_validate_json(file.read()), goes_on
            except ValidationError as error:
                raise AlignlabError(
                    f"{path}: damaged, so nobody knows what {path.name.partition('.')[0]} needs; "
                    "run that again, or remove the file"
                ) from error


def _is_given_up(run: Run) -> bool:
    """Whether its folder of results was removed; no if that is where this machine cannot see."""
    folder = Path(run.folder)
    try:
        folder.stat()
    except FileNotFoundError:
        return folder.parent.is_dir()
    except OSError:
        return False
    return False


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
    """One file for each state of an experiment in a checkout, locked before it can be found."""
    with replacing(RUNNING / f"{run.experiment}.{config_digest(run.needs)}.json") as temporary:
        file = temporary.open("w", encoding="utf-8")
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(run.model_dump_json())
        file.flush()
    _held.append(file)


def unnamed(plans: list[Plan]) -> list[Path]:
    """Entries of the store that no plan and no experiment needs that is begun or finished.

    What killed jobs left half-written is among them, once nobody has touched it for a day.

    Raises:
        AlignlabError: it is damaged what a finished experiment says that it needs.
    """
    named = {str(artefact.path) for plan in plans for artefact in plan}
    named |= {path for run in (*live(), *begun()) for path in run.needs}
    for manifest in RESULTS.glob("*/manifest.json"):
        named |= {artefact["path"] for artefact in _artefacts(manifest)}
    keys = {Path(path).name.removesuffix(".parquet") for path in named}
    # Replies of an endpoint outlive the digests of the tables that they fill: they were paid for.
    keys |= {f"{_replies(Path(path))}.jsonl" for path in named} | {f"{key}.json" for key in keys}
    stages = sorted(STORE.glob("[!.]*"))
    # `.parts` and `aside` belong to arms that are running; hidden files are being written.
    entries = [path for stage in stages for path in sorted(stage.glob("[!.]*"))]
    left = [path for stage in stages for path in sorted(stage.glob(".*")) if _is_old(path)]
    left += [path for path, run, goes_on in _runs() if not goes_on and _is_given_up(run)]
    return left + [
        p for p in entries if p.name.removesuffix(".parts").removesuffix(".parquet") not in keys
    ]


def lost(folder: Path) -> list[str]:
    """What the results in an experiment's folder were made from and the store no longer has.

    Raises:
        AlignlabError: its manifest is damaged.
    """
    manifest = folder / "manifest.json"
    found = _artefacts(manifest) if manifest.exists() else []
    return [artefact["path"] for artefact in found if not Path(artefact["path"]).exists()]


def remove(path: Path) -> None:
    """Remove a file, a folder, or a link and not what it leads to.

    Raises:
        OSError: it is somebody else's, or a file below it is.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _artefacts(manifest: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(manifest.read_text(encoding="utf-8"))["artefacts"]
    except (ValueError, KeyError, TypeError) as error:
        raise AlignlabError(
            f"{manifest}: damaged, so nobody knows what {manifest.parent.name} was made from; "
            "remove it and run the experiment again"
        ) from error


def _is_old(path: Path) -> bool:
    try:
        return path.lstat().st_mtime < time.time() - DAY
    except FileNotFoundError:  # a job has just given it its name
        return False


def _replies(path: Path) -> str:
    return f"{path.parent.name}.{path.name.rpartition('-')[0]}"
