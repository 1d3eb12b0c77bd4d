"""What is asked of Slurm before the first job; with its real commands in tests/slurm."""

import os
from math import inf
from pathlib import Path
from types import SimpleNamespace

import pytest

from alignlab.core.errors import AlignlabError
from alignlab.operations.slurm.cluster import check_cluster, check_logs
from alignlab.operations.slurm.partitions import minutes_of, most, partitions_of, read


def command(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A PATH on which Slurm is what a test puts there."""
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    for name in ("sbatch", "squeue"):
        command(tmp_path, name, "exit 0")
    return tmp_path


def test_missing_commands_are_named(commands):
    with pytest.raises(AlignlabError, match="no sinfo here"):
        check_cluster(None, ())


def test_a_controller_that_is_down_is_told_in_slurms_words(commands):
    command(commands, "sinfo", "echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(AlignlabError, match="Unable to contact slurm controller"):
        check_cluster(None, ())


SINFO = "echo 'cpu|64000|2:00:00'; echo 'gpu|256000|7-00:00:00'; echo 'gpu|512000+|infinite'"


def test_partitions_must_be_the_clusters(commands, tmp_path):
    command(commands, "sinfo", SINFO)
    partitions = tmp_path / "partitions.yaml"
    partitions.write_text("partitions:\n  gpu: {max_gpu: 8}\n")
    check_cluster(partitions, ())
    partitions.write_text("partitions:\n  a100: {max_gpu: 8}\n")
    with pytest.raises(AlignlabError, match="no partition a100; it has cpu, gpu"):
        check_cluster(partitions, ())


def test_an_account_is_refused_if_no_partition_takes_it(commands, tmp_path):
    command(commands, "sinfo", SINFO)
    partitions = tmp_path / "partitions.yaml"
    partitions.write_text("partitions:\n  cpu: {}\n  gpu: {max_gpu: 8}\n")
    invalid = "echo 'allocation failure: Invalid account or account/partition' >&2; exit 1"
    command(commands, "sbatch", f"[ $3 = --partition=gpu ] || {{ {invalid}; }}")
    check_cluster(partitions, {"mine"})
    command(commands, "sbatch", f"[ $2 = --account=mine ] || {{ {invalid}; }}")
    with pytest.raises(AlignlabError, match="refuses account other in partition cpu, gpu"):
        check_cluster(partitions, {"mine, other"})
    command(commands, "sbatch", invalid)
    with pytest.raises(AlignlabError, match="refuses account mine in partition cpu, gpu"):
        check_cluster(partitions, {"mine"})


def test_an_account_is_not_refused_for_another_reason(commands, tmp_path):
    command(commands, "sinfo", SINFO)
    command(commands, "sbatch", "echo 'Requested time limit is invalid' >&2; exit 1")
    partitions = tmp_path / "partitions.yaml"
    partitions.write_text("partitions:\n  gpu: {max_gpu: 8}\n")
    check_cluster(partitions, {"mine"})


def job(**resources):
    """As much of one of Snakemake's jobs as is asked here."""
    rule = SimpleNamespace(name="tune_model")
    return SimpleNamespace(rule=rule, resources=resources, threads=1, wildcards=["tiny-0123"])


@pytest.fixture
def partitions(commands, tmp_path):
    """Read a file of partitions on a cluster with two."""
    command(commands, "sinfo", SINFO)

    def write(text):
        (tmp_path / "partitions.yaml").write_text(f"partitions:\n  {text}\n")
        return tmp_path / "partitions.yaml"

    return write


def test_limits_are_the_lower_ones_of_the_file_and_of_slurm(partitions):
    text = "cpu: {max_mem_mb: 32000, max_runtime: 4h}\n  gpu: {max_gpu: 8, max_runtime: 2-12:00:00}"
    cpu, gpu = (each.limits for each in partitions_of(partitions(text)))
    assert (cpu.max_mem_mb, cpu.max_runtime) == (32000, 120)
    assert (gpu.max_mem_mb, gpu.max_runtime, gpu.max_gpu) == (512000, 3600, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cpu: {max_runtime: 4hh}", "cpu.max_runtime: '4hh' is no time; say 240"),
        ("cpu: {max_runtime: '1:30'}", "'1:30' is no time"),
        ("cpu: {max_runtime: UNLIMITED}", "'UNLIMITED' is no time"),
        ("cpu: {max_runtime: -5}", "-5 is no time"),
        ("cpu: {max_mem_mb: 64G}", "cpu.max_mem_mb: expected a number, not '64G'"),
        ("cpu: {max_gpu: -1}", "cpu.max_gpu: expected a number, not -1"),
        ("cpu: {max_gpu: true}", "cpu.max_gpu: expected a number, not True"),
        ("cpu: {max_mem: 64000}", "cpu.max_mem: unknown key; there are .*max_mem_mb"),
        ("cpu:", "partitions.cpu: expected a name and its limits"),
        ("[cpu, gpu]", "partitions: expected names of partitions"),
    ],
)
def test_a_limit_that_is_none_is_named(partitions, text, message):
    with pytest.raises(AlignlabError, match=message):
        read(partitions(text))


@pytest.mark.parametrize(
    ("time", "minutes"),
    [
        (240, 240),
        ("240", 240),
        ("4h", 240),
        ("2d12h30m", 3630),
        ("1.5h", 90),
        ("1:30:00", 90),
        ("2-12:00:00", 3600),
        ("7-0", 10080),
        ("infinite", inf),
        ("1:30", None),
        ("4 hours", None),
        ("0", None),
        (True, None),
        (None, None),
    ],
)
def test_minutes_of_a_time(time, minutes):
    assert minutes_of(time) == minutes


def test_a_job_that_fits_no_partition_is_refused_with_what_there_is(partitions):
    path = partitions("cpu: {max_gpu: 0}\n  gpu: {max_gpu: 8}")
    check_cluster(path, (), [job(mem_mb=400_000, gpu=1), job(mem_mb=600_000, slurm_partition="x")])
    refused = (
        r"rule tune_model \(tiny-0123\) asks for 600000 MB, 60 minutes, .*cpu 64000 MB, "
        r"120 minutes, .*gpu 512000 MB, 8 GPUs"
    )
    with pytest.raises(AlignlabError, match=refused):
        check_cluster(path, (), [job(mem_mb=600_000, runtime=60)])
    with pytest.raises(AlignlabError, match="16 GPUs"):
        check_cluster(path, (), [job(gpu=16)])


def test_the_most_that_a_job_can_get_is_that_of_a_partition_that_takes_it(partitions):
    cpu, gpu = partitions_of(partitions("cpu: {max_gpu: 0}\n  gpu: {max_gpu: 8, max_runtime: 8h}"))
    small, large = job(mem_mb=1000, runtime=60), job(mem_mb=1000, runtime=60, gpu=1)
    assert most([cpu], small, "mem_mb") == 64000
    assert most([cpu, gpu], small, "mem_mb") == 512000
    assert most([cpu, gpu], large, "runtime") == 480
    assert most([], large, "runtime") == inf


def test_a_folder_for_logs_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "logs", Path("/proc/logs"), tmp_path / ("a" * 300)):
        with pytest.raises(AlignlabError, match=f"{folder}: cannot be written.*--slurm-logdir"):
            check_logs(folder)
    with pytest.raises(AlignlabError, match=r"a%jb.*writes a number"):
        check_logs(tmp_path / "a%jb")
