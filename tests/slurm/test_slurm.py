"""A small experiment on a real Slurm of one node.

.venv/bin/pytest -n0 tests/slurm        # as root on Debian: installs Slurm where it is missing
"""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cluster import REFUSED_ACCOUNT
from copies import SLURM, SMALL

# Columns that say how long something took.
TIMES = {"seconds"}
RUNS_MODELS = {"generate_responses", "score_shift", "tune_model"}


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


def test_a_retry_has_more_memory_and_time(disturbed):
    number = disturbed.victims["TIMEOUT"]
    (victim,) = (job for job in disturbed.jobs if job["JobId"] == number)
    retried = [job for job in disturbed.jobs if job["Comment"] == victim["Comment"]][1]
    before, after = (int(job["MinMemoryNode"].removesuffix("M")) for job in (victim, retried))
    assert after == 2 * before > 6000
    assert retried["TimeLimit"] == "08:00:00"


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
