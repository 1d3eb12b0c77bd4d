"""The smoke experiment, run once by the real Snakemake in a copy of the repository."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from checkouts import copy_repository
from filelock import FileLock


@dataclass
class Checkout:
    """A copy of the repository with its own store; its own package code is what runs."""

    folder: Path

    def snakemake(self, *arguments, check=True):
        """Run Snakemake; returns what it printed."""
        run = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(self.folder / "workflow"),
                "WANDB_API_KEY": "",
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
        )
        printed = run.stdout + run.stderr
        assert not check or run.returncode == 0, printed
        assert check or run.returncode != 0, printed
        return printed

    def planned(self, experiment="smoke", targets=()):
        """Names of the jobs that a dry run would execute, with their number, `all` left out."""
        printed = self.snakemake(
            *("--dry-run", "--quiet", "rules", "--config", f"experiment={experiment}", "--"),
            *targets,
        )
        pairs = [line.split() for line in printed.splitlines() if line.strip()]
        return {
            pair[0]: int(pair[1])
            for pair in pairs
            if len(pair) == 2 and pair[1].isdigit() and pair[0] not in ("all", "total")
        }

    def edit(self, path, change):
        """Change a YAML file in place."""
        file = self.folder / path
        content = yaml.safe_load(file.read_text())
        change(content)
        file.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="session")
def copied(tmp_path_factory):
    """Make a checkout of the repository as it is, with an empty store."""
    return lambda: Checkout(copy_repository(tmp_path_factory.mktemp("checkout")))


@pytest.fixture(scope="session")
def finished(copied, tmp_path_factory):
    """A checkout whose smoke experiment has been run, once for all processes that run tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(shared / "smoke.lock"):
        note = shared / "smoke"
        if not note.exists():
            checkout = copied()
            checkout.snakemake("--config", "experiment=smoke")
            note.write_text(str(checkout.folder))
    return Checkout(Path(note.read_text()))


@pytest.fixture
def checkout(finished, tmp_path):
    """The finished checkout in a folder of its own, free to be changed."""
    folder = tmp_path / "alignlab"
    shutil.copytree(finished.folder, folder, symlinks=True)
    return Checkout(folder)
