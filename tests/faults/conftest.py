"""Disks that are small, and damage that is done on purpose."""

import json
import random
import subprocess
import sys

import psutil
import pytest

from alignlab.core import tables

SCRIPT = """
import sys, time, types
from pathlib import Path
from alignlab.operations.job import job
from alignlab.planning.artefact import Job

snakemake = types.SimpleNamespace(
    log=["job.log"], input=sys.argv[2:], rule="tune_model", resources={"mem_mb": 20},
    params={"job": sys.argv[1]}, output=["out"],
)
with job(snakemake, Job, verified=VERIFIED) as given:
"""
SNAKEMAKE = """#!/bin/bash
bash -c '"$@"; exit $?' - "$@"
exit $?
"""


@pytest.fixture
def started(tmp_path):
    """Start a process that does something as a job; gives its Snakemake, a stand-in for one."""
    program = tmp_path / "snakemake"
    program.write_text(SNAKEMAKE)
    program.chmod(0o755)
    (tmp_path / "results/store").mkdir(parents=True)

    def start(body, *inputs, through=(program,), made_of=(), verified=True):
        begin = SCRIPT.replace("VERIFIED", str(verified))
        code = begin + "\n".join(f"    {line}" for line in body.splitlines())
        given = json.dumps({"spec": {}, "output": "out", "made_of": made_of})
        command = [*through, sys.executable, "-c", code, given, *map(str, inputs)]
        return psutil.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)

    return start


@pytest.fixture
def mounted(tmp_path):
    """Mount a file system in memory of a few megabytes; gives its folder."""
    folders = []

    def mount(megabytes):
        folder = tmp_path / f"disk{len(folders)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        try:
            allowed = not subprocess.run(command, capture_output=True).returncode
        except FileNotFoundError:
            allowed = False
        if not allowed:
            pytest.skip("mounting a tmpfs is not permitted here")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def metrics():
    """Make rows of the table `metrics` that do not compress."""
    chance = random.Random(0)

    def rows(count):
        return [
            {
                "arm": "a",
                "prompt_id": chance.randbytes(16).hex(),
                "turn": 0,
                "metric": "words",
                "value": chance.random(),
            }
            for _ in range(count)
        ]

    return rows


@pytest.fixture
def table(tmp_path, metrics):
    """A table of a thousand rows."""
    path = tmp_path / "metrics-0123456789ab.parquet"
    tables.write("metrics", path, metrics(1000), {"digest": "0123456789ab"})
    return path
