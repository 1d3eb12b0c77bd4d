"""A copy of the repository in which Snakemake runs."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

SMALL = ("--config", "experiment=small.yaml")
# Looked at sooner than a real cluster should be.
SLURM = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "3")


@dataclass
class Copy:
    """A copy of the repository with its own store."""

    folder: Path

    def run(self, *arguments, path=None):
        """Run Snakemake to its end; exit status and what it printed."""
        run = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(path),
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        return run.returncode, run.stdout + run.stderr

    def start(self, *arguments, path=None):
        """Start Snakemake; what it prints goes to a file."""
        with (self.folder / "printed.txt").open("w") as file:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=self.environment(path),
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def printed(self):
        """What the started Snakemake printed."""
        return (self.folder / "printed.txt").read_text()

    def command(self, *arguments):
        """Snakemake of the environment that tests run in."""
        return [sys.executable, "-m", "snakemake", *arguments]

    def environment(self, path=None):
        """The package of this copy, one thread, and no account of W&B's."""
        return {
            **os.environ,
            "PYTHONPATH": str(self.folder / "workflow"),
            "PATH": path or os.environ["PATH"],
            "WANDB_API_KEY": "",
            "OMP_NUM_THREADS": "1",
        }


def until(run, copy, condition, seconds=900):
    """Wait for something to happen while Snakemake runs; what the condition found."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert run.poll() is None, copy.printed
        assert time.monotonic() < end, copy.printed
        time.sleep(0.3)
    return found
