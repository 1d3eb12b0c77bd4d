"""A small experiment on a real Slurm of one node, which is disturbed in every way.

.venv/bin/pytest -n0 tests/slurm        # as root on Debian: installs Slurm where it is missing
"""

import os
import shutil
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from cluster import REFUSED_ACCOUNT
from copies import SLURM, SMALL, until

# Columns that say how long something took.
TIMES = {"seconds"}
RUNS_MODELS = {"generate_responses", "score_shift", "tune_model"}

# One arm, whose job waits while there is a file `hold`.
ONE = ("--config", "experiment=one.yaml")
CANCELLING = ("--config", "experiment=one.yaml", "killed_run=cancel")
GOAL = ("--until", "gather_responses")
EXPERIMENT = {
    "name": "one",
    "title": "One arm",
    "prompts": [{"dataset": "smoke-questions", "take": 2}],
    "baseline": "zero-shot",
    "decoding": {"max_new_tokens": 4},
    "engine": {"dtype": "float32"},
    "embedder": None,
    "arms": [{"name": "zero-shot", "model": "tiny-gemma", "method": {"kind": "zero-shot"}}],
}
BEGINS = "with job(snakemake, GenerateJob, timed=RESPONSES) as given:\n"
HELD = f"""{BEGINS}    import os, time
    while Path("hold").exists():
        time.sleep(0.1)
    if Path("kill").exists() and snakemake.resources.mem_mb < 50:
        time.sleep(2)
        os.kill(os.getpid(), 9)
"""
PROCESS = "PROCESS_MB = 3000\n"
# Slurm's command, unless there is a file `down` beside it.
SHIM = """#!/bin/sh
test ! -e '{folder}/down' && exec {tool} "$@"
echo "error: Unable to contact slurm controller (connect failure)" >&2
exit 1
"""


def tables(folder):
    """Every table under a folder by name, without what was timed."""
    return {
        str(path.relative_to(folder)): pq.read_table(path)
        .drop_columns([*TIMES & set(pq.read_schema(path).names)])
        .to_pylist()
        for path in folder.rglob("*.parquet")
    }


def rule_of(job):
    return job["Comment"].removeprefix("rule_").partition("_wildcards_")[0]


def test_the_store_is_that_of_a_local_run(local, disturbed):
    results = [copy.folder / "results" for copy in (local, disturbed.copy)]
    ours, theirs = (tables(folder) for folder in results)
    assert len(ours) > 20
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_models_and_adapters_are_those_of_a_local_run(local, disturbed):
    def weights(copy):
        store = copy.folder / "results" / "store"
        found = store.rglob("*.safetensors")
        return {str(path.relative_to(store)): path.read_bytes() for path in found}

    assert weights(local)
    assert weights(local) == weights(disturbed.copy)


@pytest.mark.parametrize("what", ["CANCELLED", "TIMEOUT", "NODE_FAIL"])
def test_a_job_that_ends_badly_is_told_and_retried(disturbed, what):
    number = disturbed.victims[what]
    (victim,) = (job for job in disturbed.jobs if job["JobId"] == number)
    assert victim["JobState"] == what
    assert f"SLURM-job '{number}' failed" in disturbed.printed
    same = [job for job in disturbed.jobs if job["Comment"] == victim["Comment"]]
    assert same[-1]["JobState"] == "COMPLETED"
    assert int(same[-1]["JobId"]) > int(number)


@pytest.mark.parametrize(
    ("what", "time"), [("CANCELLED", "04:00:00"), ("TIMEOUT", "08:00:00"), ("NODE_FAIL", None)]
)
def test_a_retry_has_more_time_after_a_time_limit_and_else_what_it_had(disturbed, what, time):
    number = disturbed.victims[what]
    (victim,) = (job for job in disturbed.jobs if job["JobId"] == number)
    same = [job for job in disturbed.jobs if job["Comment"] == victim["Comment"]]
    retried = same[same.index(victim) + 1]
    assert retried["MinMemoryNode"] == victim["MinMemoryNode"]
    assert retried["TimeLimit"] == (time or victim["TimeLimit"])


def test_only_jobs_that_run_models_are_on_gpus(disturbed):
    assert {rule_of(job) for job in disturbed.jobs} > RUNS_MODELS
    for job in disturbed.jobs:
        runs_model = rule_of(job) in RUNS_MODELS
        assert job["Partition"] == ("gpu" if runs_model else "cpu"), job
        assert job.get("TresPerJob") == ("gres:gpu:1" if runs_model else None), job


def test_light_rules_are_not_submitted(disturbed):
    light = {"fetch_model", "fetch_prompts", "gather_responses", "build_report", "publish_wandb"}
    assert not light & {rule_of(job) for job in disturbed.jobs}


def test_a_second_run_in_the_same_folder_is_refused(disturbed):
    assert "Directory cannot be locked" in disturbed.refused


def test_a_failing_job_shows_its_log(disturbed):
    store = disturbed.copy.folder / "results" / "store"
    (responses,) = (store / "responses").glob("zero-shot-*.parquet")
    (metrics,) = (store / "metrics").glob("zero-shot-*.parquet")
    whole = responses.read_bytes()
    responses.write_bytes(whole[:100])
    metrics.unlink()
    status, printed = disturbed.copy.run(
        *SLURM, "--retries", "0", *SMALL, "--", str(metrics.relative_to(disturbed.copy.folder))
    )
    responses.write_bytes(whole)
    assert status != 0
    assert f"{responses.name}: damaged or truncated Parquet file" in printed


def test_a_partition_that_the_cluster_lacks_ends_the_run_before_any_job(cluster, copied):
    copy = copied()
    partitions = copy.folder / "profiles" / "slurm" / "partitions.yaml"
    partitions.write_text("partitions:\n  a100: {max_gpu: 8}\n")
    before = len(cluster.jobs())
    status, printed = copy.run(*SLURM, *SMALL)
    assert status != 0
    assert "this cluster has no partition a100; it has cpu, gpu" in printed
    assert len(cluster.jobs()) == before


def test_a_refused_account_ends_the_run_before_any_job(cluster, copied):
    copy = copied()
    before = len(cluster.jobs())
    account = ("--default-resources", "nodes=1", f"slurm_account={REFUSED_ACCOUNT}")
    status, printed = copy.run(*SLURM, *account, *SMALL)
    assert status != 0
    assert f"Slurm refuses account {REFUSED_ACCOUNT} in partition cpu, gpu" in printed
    assert len(cluster.jobs()) == before
    assert not (copy.folder / "results").exists()


def test_a_machine_without_slurm_says_so_before_any_job(copied, tmp_path):
    slurm = ("sbatch", "squeue", "sinfo", "sacct", "scontrol", "srun", "scancel", "sacctmgr")
    for folder in (Path("/bin"), Path("/usr/bin")):
        for tool in folder.iterdir():
            if tool.name not in slurm and not (tmp_path / tool.name).is_symlink():
                (tmp_path / tool.name).symlink_to(tool)
    copy = copied()
    status, printed = copy.run(*SLURM, *SMALL, path=os.fspath(tmp_path))
    assert status != 0
    assert "no sbatch, squeue, sinfo here" in printed
    assert "Traceback" not in printed
    assert not (copy.folder / "results").exists()


@pytest.fixture
def copy(cluster, copied):
    """A copy with the experiment, whose job can be held; what it left in the queue is cancelled."""
    made = copied()
    (made.folder / "one.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    script = made.folder / "workflow/scripts/generate_responses.py"
    text = script.read_text()
    assert BEGINS in text
    script.write_text(text.replace(BEGINS, HELD))
    before = len(cluster.jobs())
    yield made
    for job in cluster.jobs()[before:]:
        if job["JobState"] in ("RUNNING", "PENDING"):
            cluster.cancel(job["JobId"])


@pytest.fixture
def shims(tmp_path):
    """A folder with commands of Slurm that fail while it has a file `down`."""
    for name in ("squeue", "sbatch"):
        text = SHIM.format(folder=tmp_path, tool=shutil.which(name))
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def answers(copy):
    return list((copy.folder / "results/store/responses").glob("*.parquet"))


def test_a_slurm_that_does_not_answer_for_a_while_costs_no_job(cluster, copy, shims):
    down, hold = shims / "down", copy.folder / "hold"
    path = f"{shims}{os.pathsep}{os.environ['PATH']}"
    hold.touch()
    before = len(cluster.jobs())
    run = copy.start(*SLURM, *GOAL, *ONE, path=path)
    try:
        until(run, copy, lambda: cluster.running("generate_responses")[-1:])
        down.touch()
        hold.unlink()
        until(run, copy, lambda: cluster.jobs()[-1]["JobState"] == "COMPLETED")
        until(run, copy, lambda: "Slurm has not answered squeue" in copy.printed)
        time.sleep(5)  # more polls
        assert not answers(copy)
        down.unlink()
        assert run.wait(900) == 0, copy.printed
    finally:
        run.kill()
    assert "Slurm answers squeue again" in copy.printed
    assert len(answers(copy)) == 1
    assert len(cluster.jobs()) == before + 1


def test_a_job_that_slurm_takes_later_is_submitted_once(cluster, copy, shims):
    path = f"{shims}{os.pathsep}{os.environ['PATH']}"
    before = len(cluster.jobs())
    # Down from the moment when the run has checked Slurm.
    script = copy.folder / "workflow/scripts/fetch_model.py"
    script.write_text(f"open({str(shims / 'down')!r}, 'w')\n{script.read_text()}")
    run = copy.start(*SLURM, *GOAL, *ONE, path=path)
    try:
        until(run, copy, lambda: "Slurm takes no jobs now" in copy.printed)
        (shims / "down").unlink()
        assert run.wait(900) == 0, copy.printed
    finally:
        run.kill()
    assert len(answers(copy)) == 1
    assert len(cluster.jobs()) == before + 1


@pytest.fixture
def killed(cluster, copy):
    """A run that was killed while its job runs; gives the copy and the job's number."""
    (copy.folder / "hold").touch()
    run = copy.start(*SLURM, *GOAL, *ONE)
    until(run, copy, lambda: cluster.running("generate_responses")[-1:])
    run.send_signal(signal.SIGKILL)
    run.wait()
    number = cluster.running("generate_responses")[-1]["JobId"]
    assert copy.run(*SLURM, *ONE, "--unlock")[0] == 0
    return copy, number


def test_the_next_run_waits_for_the_job_of_a_killed_one(cluster, killed):
    copy, number = killed
    status, printed = copy.run("--cores", "2", *GOAL, *ONE)
    assert status != 0
    assert f"Slurm job {number}, of a run in" in printed
    assert f"scancel {number}" in printed
    run = copy.start(*SLURM, *GOAL, *ONE)
    try:
        until(run, copy, lambda: f"goes on as SLURM job {number}" in copy.printed)
        (copy.folder / "hold").unlink()
        assert run.wait(900) == 0, copy.printed
    finally:
        run.kill()
    assert cluster.jobs()[-1]["JobId"] == number
    assert cluster.state(number) == "COMPLETED"
    assert len(answers(copy)) == 1


def test_the_next_run_ends_the_job_of_a_killed_one_if_it_is_told_so(cluster, killed):
    copy, number = killed
    (copy.folder / "hold").unlink()
    cluster.suspend(number)
    status, printed = copy.run(*SLURM, *GOAL, *CANCELLING)
    assert status == 0, printed
    assert cluster.state(number) == "CANCELLED"
    assert len(answers(copy)) == 1


def test_a_job_that_was_killed_for_its_memory_gets_twice_as_much(cluster, copy):
    forecast = copy.folder / "workflow/alignlab/planning/forecast.py"
    text = forecast.read_text()
    assert PROCESS in text
    forecast.write_text(text.replace(PROCESS, "PROCESS_MB = 30\n"))
    (copy.folder / "kill").touch()
    status, printed = copy.run(*SLURM, *GOAL, *ONE)
    assert status == 0, printed
    first, second = cluster.jobs()[-2:]
    memory = [int(job["MinMemoryNode"].removesuffix("M")) for job in (first, second)]
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    assert memory[1] == 2 * memory[0]
    assert first["TimeLimit"] == second["TimeLimit"]
    assert f"a retry asks for {memory[1]}" in printed


def test_a_job_that_slurm_puts_back_into_its_queue_is_waited_for(cluster, copy):
    (copy.folder / "hold").touch()
    before = len(cluster.jobs())
    run = copy.start(*SLURM, "--slurm-requeue", *GOAL, *ONE)
    try:
        number = until(run, copy, lambda: cluster.running("generate_responses")[-1:])[0]["JobId"]
        cluster.requeue(number)
        until(run, copy, lambda: cluster.state(number) == "RUNNING")
        (copy.folder / "hold").unlink()
        assert run.wait(900) == 0, copy.printed
    finally:
        run.kill()
    assert len(cluster.jobs()) == before + 1
    assert len(answers(copy)) == 1


def test_what_no_partition_gives_and_logs_that_nobody_can_write_end_the_run_at_once(cluster, copy):
    before = len(cluster.jobs())
    for wrong, message in (
        (("--set-resources", "generate_responses:mem_mb=70000"), "asks for 70000 MB"),
        (("--slurm-logdir", "/proc/logs"), "/proc/logs: cannot be written"),
    ):
        status, printed = copy.run(*SLURM, *wrong, *GOAL, *ONE)
        assert status != 0
        assert message in printed
        assert "Traceback" not in printed
    assert len(cluster.jobs()) == before
    assert not Path(copy.folder / "results/store/models").exists()
