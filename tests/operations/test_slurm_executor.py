"""What polls of Slurm mean for a job; with real jobs in tests/slurm."""

import asyncio
import contextlib
import logging
import os
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_slurm.partitions import Partition, PartitionLimits
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from alignlab.operations.slurm import executor, retries

DOWN = None


class Executor(executor.Executor):
    """One whose polls are given, and that notes what it reports to Snakemake."""

    def __init__(self):
        self._open, self._seen, self._told, self.reported = {}, {}, 0.0, []
        self._partitions = [Partition("gpu", PartitionLimits(max_mem_mb=10_000, max_runtime=600))]
        self.logger = logging.getLogger("executor")
        settings = SimpleNamespace(init_seconds_before_status_checks=20)
        self.workflow = SimpleNamespace(executor_settings=settings)
        self.next_seconds_between_status_checks = 20

    async def _states(self):
        return self.polls.pop(0)

    def report_job_success(self, job_info):
        self.reported.append((job_info.external_jobid, "success"))

    def report_job_error(self, job_info, msg=None, **_):
        self.reported.append((job_info.external_jobid, msg))

    def polled(self, infos, *polls):
        """Which of some jobs are still active after some polls; each a state by number."""

        async def all_of():
            active = infos
            for _ in polls:
                active = [info async for info in self.check_active_jobs(active)]
            return [info.external_jobid for info in active]

        self.polls = list(polls)
        return asyncio.run(all_of())


def info(number="7", log=None, **resources):
    rule = SimpleNamespace(name="tune_model")
    asked = {"mem_mb": 4000, "runtime": 240, **resources}
    job = SimpleNamespace(
        name="tune_model", rule=rule, wildcards=[f"k{number}"], resources=asked, threads=1
    )
    return SubmittedJobInfo(job, number, {"slurm_logfile": log})


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
    monkeypatch.setattr(retries, "_asked", {})


def states(*said):
    return [None if state is DOWN else {"7": state} if state else {} for state in said]


@pytest.mark.parametrize(
    ("said", "reported"),
    [
        (("PENDING", "RUNNING", "COMPLETING"), None),
        (("RUNNING", DOWN, DOWN, DOWN, DOWN, DOWN, DOWN), None),
        (("RUNNING", DOWN, "COMPLETED"), "success"),
        (("NODE_FAIL", "PENDING", "RUNNING", "COMPLETED"), "success"),
        (("PREEMPTED", "PENDING", "PREEMPTED", "RUNNING"), None),
        (("NODE_FAIL", "NODE_FAIL"), "status is: 'NODE_FAIL'"),
        (("PREEMPTED", "PREEMPTED"), "status is: 'PREEMPTED'"),
        (("CANCELLED",), "status is: 'CANCELLED'"),
        (("", "", "RUNNING", "", ""), None),
        (("RUNNING", "", "", ""), "success"),
        (("", DOWN, "", DOWN, ""), "success"),
    ],
)
def test_what_polls_say_of_a_job(said, reported):
    tried = Executor()
    left = tried.polled([info()], *states(*said))
    assert left == ([] if reported else ["7"])
    assert [number for number, _ in tried.reported] == (["7"] if reported else [])
    assert not reported or reported in tried.reported[0][1]


@pytest.mark.parametrize(
    ("state", "asked"),
    [
        ("OUT_OF_MEMORY", {"mem_mb": 8000}),
        ("TIMEOUT", {"runtime": 480}),
        ("DEADLINE", {"runtime": 480}),
        ("CANCELLED", {}),
        ("FAILED", {}),
        ("BOOT_FAIL", {}),
    ],
)
def test_a_retry_gets_more_of_what_was_lacking_alone(state, asked):
    Executor().polled([info()], *states(state))
    assert retries._asked.get("k7", {}) == asked


def test_no_retry_gets_more_than_a_partition_has():
    tried = Executor()
    tried.polled([info(mem_mb=8000, runtime=400)], *states("OUT_OF_MEMORY"))
    tried.polled([info(mem_mb=8000, runtime=400)], *states("TIMEOUT"))
    assert retries._asked == {"k7": {"mem_mb": 10_000, "runtime": 600}}
    tried.polled([info(mem_mb=10_000)], *states("OUT_OF_MEMORY"))
    assert "no partition gives more" in tried.reported[-1][1]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0", {"mem_mb": 8000}),
        ("this job uses 5000 MB and asked for 4000 (mem_mb): if it is killed", {"mem_mb": 8000}),
        ("ERROR bloom: no room for zoom", {}),
    ],
)
def test_a_job_that_failed_for_its_memory_says_so_in_its_log(tmp_path, text, asked):
    (tmp_path / "7.log").write_text(text)
    Executor().polled([info(log=tmp_path / "7.log")], *states("FAILED"))
    assert retries._asked.get("k7", {}) == asked


def test_a_job_without_a_log_says_where_it_should_be(tmp_path):
    tried = Executor()
    tried.polled([info(log=tmp_path / "logs" / "7.log")], *states("FAILED"))
    assert f"can its node write to {tmp_path / 'logs'}?" in tried.reported[0][1]


def test_polls_are_rarer_while_nothing_ends_and_never_while_slurm_is_silent():
    tried = Executor()
    tried.polled([info()], *states(*["RUNNING"] * 30))
    assert tried.next_seconds_between_status_checks == executor.SLOWEST
    tried.polled([info()], DOWN)
    assert tried.next_seconds_between_status_checks == 20


@pytest.mark.parametrize(
    ("command", "script", "found"),
    [
        ("sacct", "echo '7|CANCELLED by 0'; echo '8|RUNNING'", {"7": "CANCELLED", "8": "RUNNING"}),
        ("squeue", "echo '7|OUT_OF_MEMORY'; echo", {"7": "OUT_OF_MEMORY"}),
        ("squeue", "true", {}),
        ("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1", None),
    ],
)
def test_states_are_those_of_the_run_and_of_runs_that_it_goes_on_with(
    tmp_path, monkeypatch, caplog, command, script, found
):
    (tmp_path / command).write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/asked"\n{script}\n')
    (tmp_path / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    tried = Executor()
    tried.workflow.executor_settings.status_command = command
    tried.run_uuid, tried._runs, tried._silent_since = "mine", {"dead"}, None
    tried.status_rate_limiter = contextlib.nullcontext()
    assert asyncio.run(executor.Executor._states(tried)) == found
    assert "mine,dead" in (tmp_path / "asked").read_text()
    assert ("has not answered squeue" in caplog.text) is (found is None)


def test_a_query_that_hangs_is_ended_and_one_that_is_not_there_is_a_failure(monkeypatch):
    monkeypatch.setattr(executor, "ANSWERS_WITHIN", 0.2)
    status, _, said = asyncio.run(executor._answer(["sleep", "60"]))
    assert (status, said) == (1, "no answer in 0.2 seconds")
    assert asyncio.run(executor._answer(["no-such-command"]))[0] == 1
    assert asyncio.run(executor._answer(["printf", "7|COMPLETED"])) == (0, "7|COMPLETED", "")
