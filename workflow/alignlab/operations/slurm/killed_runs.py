"""Slurm jobs of a run that was killed: they go on, and those that wait still start.

Nothing else tells of them: the lock in the store ended with the run. They are known by the folder
in which they work, whose store is ours, and by what Snakemake's plugin writes into their comment.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from alignlab.core.errors import AlignlabError
from alignlab.operations import store_locks
from alignlab.operations.slurm.retries import name_of
from alignlab.planning.artefact import STORE

log = logging.getLogger(__name__)
BETWEEN = "\x1f"
FORMAT = BETWEEN.join(("%i", "%j", "%k", "%Z"))
Choice = Literal["adopt", "cancel"]
CHOICES: tuple[Choice, ...] = ("adopt", "cancel")
ANSWERS_WITHIN, CANCELLED_WITHIN = 60, 120
BRIEFLY = 10
"""Seconds. A machine may have Slurm's commands and no Slurm: they look for it for a minute."""

adopted: dict[str, Live] = {}
"""Jobs that this run goes on with instead of submitting them, by their comment."""


class Live(NamedTuple):
    """A job that waits or runs: its number, its run's name, what it makes, and where it works."""

    number: str
    run: str
    comment: str
    folder: Path

    @property
    def is_here(self) -> bool:
        """Whether it was submitted from this folder, so that all its files are this run's."""
        return _same(self.folder, Path.cwd())


def choice_of(told: object) -> Choice:
    """What the user wants of such jobs.

    Raises:
        AlignlabError: it is none of `CHOICES`.
    """
    for choice in CHOICES:
        if told == choice:
            return choice
    raise AlignlabError(f"killed_run: expected {' or '.join(CHOICES)}, not {told!r}")


def comment_of(rule: str, wildcards: Iterable[str]) -> str:
    """How Slurm's plugin describes a job."""
    listed = list(wildcards)
    return f"rule_{rule}" + (f"_wildcards_{name_of(rule, listed)}" if listed else "")


def live(within: float = ANSWERS_WITHIN) -> list[Live] | None:
    """Jobs that use this store and have not ended; null if Slurm does not answer in time."""
    command = ["squeue", "--noheader", f"--format={FORMAT}"]
    try:
        asked = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=True, timeout=within
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    lines = [line.split(BETWEEN) for line in asked.stdout.split("\n")]
    told = [each for each in lines if len(each) == 4 and each[2].startswith("rule_")]
    found = [Live(n, run, comment, Path(at)) for n, run, comment, at in told]
    return [job for job in found if _same(job.folder / STORE, STORE)]


def settle(due: Iterable[tuple[str, list[str]]], choice: Choice) -> None:
    """Go on with the jobs of a killed run, or end them, before this run submits the same.

    Args:
        due: rule and wildcards of the jobs that this run would submit.
        choice: what becomes of jobs from this folder. One that makes a table without a digest in
            its name is ended in any case: it takes seconds, and may be of another experiment.

    Raises:
        AlignlabError: Slurm does not answer, a job does not end, or one from another folder makes
            what this run is about to make.
    """
    found = live()
    if found is None:
        raise AlignlabError("profile slurm: squeue does not answer; run again when it does")
    wanted = {comment_of(rule, wildcards): bool(wildcards) for rule, wildcards in due}
    same = [job for job in found if job.comment in wanted]
    refuse(job for job in same if not job.is_here)
    here = [job for job in found if job.is_here]
    if _others_go_on():
        # What has no digest in its name, or is not due here, may be theirs.
        same = [job for job in same if wanted[job.comment]]
        here = same
    ended = here if choice == "cancel" else [j for j in here if not wanted.get(j.comment, True)]
    _cancel(ended)
    adopted.update({job.comment: job for job in same if job not in ended})
    if adopted:
        log.warning(
            "%d Slurm jobs of a run that was killed go on, and this run waits for them; "
            "`--config killed_run=cancel` ends them instead",
            len(adopted),
        )


def _others_go_on() -> bool:
    """Whether another run goes on in this folder: of another experiment, or it would be refused."""
    return any(
        run.process != os.getpid() and _same(Path(run.directory), Path.cwd())
        for run in store_locks.live()
    )


def check_none(due: Collection[tuple[str, list[str]]]) -> None:
    """Check, for a run on this machine, that no job of a killed run makes what it will make.

    Raises:
        AlignlabError: one does.
    """
    if due and shutil.which("squeue"):
        wanted = {comment_of(rule, wildcards) for rule, wildcards in due}
        refuse(job for job in live(BRIEFLY) or () if job.comment in wanted)


def refuse(jobs: Iterable[Live]) -> None:
    """End a run whose work is under way elsewhere.

    Raises:
        AlignlabError: there are any.
    """
    if found := list(jobs):
        numbers = " ".join(job.number for job in found)
        raise AlignlabError(
            f"Slurm job {found[0].number}, of a run in {found[0].folder} that was killed, makes "
            f"{found[0].comment.removeprefix('rule_')} too: wait until it ends or run "
            f"`scancel {numbers}`, then start again; or start again in that folder with the "
            "profile, which goes on with it"
        )


def _cancel(jobs: Collection[Live]) -> None:
    if not jobs:
        return
    numbers = {job.number for job in jobs}
    log.warning("cancelling Slurm jobs of a run that was killed: %s", " ".join(sorted(numbers)))
    done = subprocess.run(["scancel", *numbers], capture_output=True, text=True, check=False)
    until = time.monotonic() + CANCELLED_WITHIN
    while (left := live()) is None or numbers & {job.number for job in left}:
        if time.monotonic() > until:
            raise AlignlabError(
                f"Slurm jobs {' '.join(sorted(numbers))} of a run that was killed do not end: "
                f"{done.stderr.strip() or 'scancel said nothing'}"
            )
        time.sleep(1)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
