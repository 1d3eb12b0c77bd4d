"""What is asked of Slurm before the first job; with its real commands in tests/slurm."""

import os
from pathlib import Path

import pytest

from alignlab.core.errors import AlignlabError
from alignlab.operations.environments import check_cluster


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


def test_partitions_must_be_the_clusters(commands, tmp_path):
    command(commands, "sinfo", "echo cpu; echo gpu; echo gpu")
    partitions = tmp_path / "partitions.yaml"
    partitions.write_text("partitions:\n  gpu: {max_gpu: 8}\n")
    check_cluster(partitions, ())
    partitions.write_text("partitions:\n  a100: {max_gpu: 8}\n")
    with pytest.raises(AlignlabError, match="no partition a100; it has cpu, gpu"):
        check_cluster(partitions, ())


def test_an_account_is_refused_if_no_partition_takes_it(commands, tmp_path):
    command(commands, "sinfo", "echo cpu; echo gpu")
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
    command(commands, "sinfo", "echo gpu")
    command(commands, "sbatch", "echo 'Requested time limit is invalid' >&2; exit 1")
    partitions = tmp_path / "partitions.yaml"
    partitions.write_text("partitions:\n  gpu: {max_gpu: 8}\n")
    check_cluster(partitions, {"mine"})
