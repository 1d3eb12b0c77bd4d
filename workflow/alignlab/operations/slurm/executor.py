"""Snakemake's executor for Slurm, held to what it says: no job is lost, doubled or given too much.

It takes the place of the plugin's own for `executor: slurm`, and submits by it. What differs:

* Slurm that does not answer says nothing of a job. The plugin forgets all jobs after five such
  polls, and waits for ever.
* A job that Slurm no longer knows has ended; its files say how.
* A job of a run that was killed is gone on with (`killed_runs`).
* A retry gets more memory after a kill for memory and more time after a time limit, up to what a
  partition gives (`retries`, `partitions`).
"""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake_executor_plugin_slurm import Executor as PluginExecutor
from snakemake_executor_plugin_slurm.job_status_query import (
    query_job_status_sacct,
    query_job_status_squeue,
)
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from alignlab.core.errors import AlignlabError
from alignlab.operations.slurm import killed_runs, retries
from alignlab.operations.slurm.partitions import most, partitions_of

FAILED = {
    *("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "REVOKED", "TIMEOUT"),
}
PATIENCE = {"NODE_FAIL": 2, "PREEMPTED": 2, "": 3}
"""Polls in a row that say so before it counts: Slurm may put the job into its queue again, or not
show a new one yet. No state at all: Slurm does not know the job."""
LACKED = {"TIMEOUT": "runtime", "DEADLINE": "runtime", "OUT_OF_MEMORY": "mem_mb"}
MEMORY_WORDS = ("oom-kill", "oom_kill", "exceeded job memory limit", "(mem_mb)")
UNREACHABLE = ("unable to contact", "timed out", "connection refused", "temporarily unable")
ANSWERS_WITHIN, SLOWEST = 60, 180
"""Seconds that Slurm may take to answer a poll, and the most between two polls."""
TOLD_EVERY = 60
TRIED_EVERY = 20


class Executor(PluginExecutor):
    """See the module."""

    next_seconds_between_status_checks: float

    def __post_init__(self, test_mode: bool = False) -> None:
        """Read the partitions, and check them before anything is submitted.

        Raises:
            WorkflowError: see `partitions_of`.
        """
        self._open: dict[str, SubmittedJobInfo] = {}
        self._runs: set[str] = set()
        self._seen: dict[str, tuple[str, int]] = {}
        self._silent_since: float | None = None
        self._told = 0.0
        self._again = False
        self._submitting = Lock()
        path = self.workflow.executor_settings.partition_config
        path = path or os.environ.get("SNAKEMAKE_SLURM_PARTITIONS")
        try:
            limited = partitions_of(Path(path)) if path else None
        except AlignlabError as error:
            raise WorkflowError(str(error)) from None
        # Else a shell would read the `$` of a folder's name in what the plugin wraps.
        self.workflow.executor_settings.pass_command_as_script = True
        super().__post_init__(test_mode)
        self._partitions = limited

    def run_job(self, job: Any) -> None:
        """Submit a job, or go on with one that was."""
        comment = killed_runs.comment_of(job.name, job.wildcards or ())
        if found := killed_runs.adopted.pop(comment, None):
            self._adopt(job, found)
            return
        with self._submitting:
            os.environ[retries.VARIABLE] = retries.told(_name(job))
            self._again = True
            while self._again:
                self._again = False
                super().run_job(job)

    def _adopt(self, job: Any, found: killed_runs.Live) -> None:
        self.logger.info(f"Job {job.jobid} goes on as SLURM job {found.number} of a killed run.")
        self._runs.add(found.run)
        folder = self.slurm_logdir / f"rule_{job.name}" / _name(job)
        told = {"slurm_logfile": folder / f"{found.number}.log"}
        self._report_job_submission_threadsafe(SubmittedJobInfo(job, found.number, told))

    def report_job_submission(self, job_info: SubmittedJobInfo, register_job: bool = True) -> None:
        """Note what has been submitted, whatever a poll is about."""
        self._open[str(job_info.external_jobid)] = job_info
        super().report_job_submission(job_info, register_job)

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel all that has been submitted, also what is being asked about now."""
        super().cancel_jobs(list(self._open.values()))

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncIterator[SubmittedJobInfo]:
        """Report jobs that have ended; yields the others."""
        first = self.workflow.executor_settings.init_seconds_before_status_checks
        states = await self._states() if active_jobs else {}
        left = [job for job in active_jobs if states is None or not self._ended(job, states)]
        for job in left:
            yield job
        slower = self.next_seconds_between_status_checks + 10
        idle = len(left) == len(active_jobs) and left and states is not None
        self.next_seconds_between_status_checks = min(slower, SLOWEST) if idle else first

    async def _states(self) -> dict[str, str] | None:
        """State of every job of this run and of those that it goes on with; null if not known."""
        name = self.get_status_command()
        query = query_job_status_sacct if name == "sacct" else query_job_status_squeue
        command = shlex.split(query(",".join([self.run_uuid, *sorted(self._runs)])))
        async with self.status_rate_limiter:
            status, out, err = await _answer(command)
        if status:
            self._note_silence(command[0], err)
            return None
        if self._silent_since is not None:
            self.logger.info(f"Slurm answers {command[0]} again.")
            self._silent_since = None
        lines = [line.split("|") for line in out.splitlines() if "|" in line]
        return {number.strip(): state.split()[0] for number, state, *_ in lines if state.strip()}

    def _note_silence(self, command: str, err: str) -> None:
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        elif now < self._told + TOLD_EVERY:
            return
        self._told = now
        self.logger.warning(
            f"Slurm has not answered {command} for {now - self._silent_since:.0f} seconds: "
            f"{err.strip() or 'no words'}. Its jobs go on; this run waits until it answers."
        )

    def _ended(self, info: SubmittedJobInfo, states: dict[str, str]) -> bool:
        """Whether a job has ended; if so, it is reported."""
        number = str(info.external_jobid)
        state = states.get(number, "")
        before, polls = self._seen.get(number, ("", 0))
        polls = polls + 1 if before == state else 1
        self._seen[number] = state, polls
        if state not in (*FAILED, "COMPLETED", "") or polls < PATIENCE.get(state, 1):
            return False
        del self._seen[number]
        self._open.pop(number, None)
        if state in FAILED:
            self._fail(info, state)
            return True
        if not state:
            self.logger.warning(
                f"Slurm does not know job {number} any more, so it has ended: its files say how."
            )
        self.report_job_success(info)
        return True

    def _fail(self, info: SubmittedJobInfo, state: str) -> None:
        log = (info.aux or {}).get("slurm_logfile")
        said = f"SLURM-job '{info.external_jobid}' failed, SLURM status is: '{state}'. "
        lacked = LACKED.get(state) or ("mem_mb" if state == "FAILED" and _of_memory(log) else None)
        said += self._ask_more(info.job, lacked) if lacked else ""
        if log and not log.exists():
            said += f"It left no log: can its node write to {log.parent}? "
        self.report_job_error(info, msg=said, aux_logs=[str(log)] if log else [])

    def _ask_more(self, job: Any, resource: str) -> str:
        """Let a retry ask for twice as much, or as much as there is; says so."""
        asked = job.resources.get(resource) or 0
        limit = most(self._partitions or (), job, resource)
        amount = int(min(2 * asked, limit))
        if amount <= asked:
            return f"It asked for {resource}={asked}, and no partition gives more. "
        retries.ask(_name(job), resource, amount)
        return f"It asked for {resource}={asked}; a retry asks for {amount}. "

    def _report_job_error_threadsafe(self, job_info: SubmittedJobInfo, msg: str) -> None:
        """What the plugin calls when a job could not be submitted."""
        if not any(words in msg.casefold() for words in UNREACHABLE):
            super()._report_job_error_threadsafe(job_info, msg)
            return
        self.logger.warning(f"Slurm takes no jobs now; trying again until it does. {msg}")
        job = job_info.job
        comment = killed_runs.comment_of(job.name, job.wildcards or ())
        time.sleep(TRIED_EVERY)
        while (found := killed_runs.live()) is None:
            time.sleep(TRIED_EVERY)
        # An answer that was lost may have said that the job was taken.
        same = [each for each in found if each.comment == comment and each.run == self.run_uuid]
        if same:
            self._adopt(job, same[-1])
        else:
            self._again = True


def install() -> None:
    """Take the place of the plugin's executor, for `executor: slurm`."""
    registry = ExecutorPluginRegistry()
    if registry.is_installed("slurm"):
        registry.get_plugin("slurm").executor = Executor


def _name(job: Any) -> str:
    return retries.name_of(job.name, job.wildcards or ())


async def _answer(command: Sequence[str]) -> tuple[int, str, str]:
    """Exit status and both outputs of a command; one that hangs is ended."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        return 1, "", str(error)
    try:
        out, err = await asyncio.wait_for(process.communicate(), ANSWERS_WITHIN)
    except TimeoutError:
        process.kill()
        await process.wait()
        return 1, "", f"no answer in {ANSWERS_WITHIN} seconds"
    return process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")


def _of_memory(log: Path | None) -> bool:
    """Whether a job's log says that it was killed for its memory."""
    try:
        said = log.read_text(encoding="utf-8", errors="replace").casefold() if log else ""
    except OSError:
        return False
    return any(words in said for words in MEMORY_WORDS)
