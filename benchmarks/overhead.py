"""What Snakemake itself costs: a job with nothing to do, a finished experiment, a large dry run.

    .venv/bin/python benchmarks/overhead.py

Everything runs in a copy of the repository. The finished experiment's files are empty: what is
timed reads their names, their times and what Snakemake recorded of them.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import yaml

PARTS = ("Snakefile", "config", "envs", "profiles", "workflow")
ARTEFACTS, IDLE, REPEATS = 1000, 40, 3
IDLE_RULE = """
include: "Snakefile"


rule idle:
    output:
        touch("results/idle/{number}"),
    script:
        "idle.py"
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for part in PARTS:
            copy = shutil.copytree if Path(part).is_dir() else shutil.copy
            copy(part, folder / part)
        for experiment in ("smoke", "urial-paper"):
            start, jobs = idle_jobs(folder, experiment)
            print(f"{experiment}: one job with nothing to do {start}; {IDLE} more {jobs}")
        dry = best(folder, "--dry-run", "--config", "experiment=urial-paper")
        print(f"dry run of urial-paper: {dry}")
        count = finish(folder, many_arms(folder))
        again = best(folder, "--config", "experiment=many.yaml")
        print(f"nothing left to do of {count} artefacts: {again}")


class Took(NamedTuple):
    """Seconds by the clock, and of processors: others on the machine slow the former."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.1f} s ({self.cpu:.1f} s of CPU)"


def snakemake(folder: Path, *arguments: str) -> tuple[Took, str]:
    """How long a run took, and what it printed."""
    start = Took(time.perf_counter(), cpu_of_children())
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "workflow")},
        capture_output=True,
        text=True,
    )
    if run.returncode:
        sys.exit(run.stdout + run.stderr)
    took = Took(time.perf_counter() - start.wall, cpu_of_children() - start.cpu)
    return took, run.stdout + run.stderr


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def best(folder: Path, *arguments: str) -> Took:
    """The fastest of some runs: others on the machine only add."""
    return min(snakemake(folder, *arguments)[0] for _ in range(REPEATS))


def idle_jobs(folder: Path, experiment: str) -> tuple[Took, Took]:
    """A run of one job with an empty script, and what more such jobs add.

    Here jobs share one process that has parsed the plan; a cluster's node starts two for each job.
    """
    (folder / "Idle").write_text(IDLE_RULE)
    (folder / "idle.py").write_text("")
    config = ("--config", f"experiment={experiment}", "--snakefile", "Idle", "--forceall", "--")
    names = [f"results/idle/{number}" for number in range(1 + IDLE)]
    one, every = best(folder, *config, names[0]), best(folder, *config, *names)
    return one, Took(every.wall - one.wall, every.cpu - one.cpu)


def many_arms(folder: Path) -> Path:
    """An experiment with a thousand artefacts: arms that differ in their decoding, and metrics."""
    experiment = yaml.safe_load((folder / "config/experiments/smoke.yaml").read_text())
    arm = experiment["arms"][1]
    experiment["arms"] = [
        {**arm, "name": f"arm-{i}", "decoding": {"max_new_tokens": i + 1}}
        for i in range(ARTEFACTS // 2)
    ]
    empty = {key: [] for key in ("pairs", "tuned", "trainsets", "judges", "contrasts")}
    experiment |= {"name": "many", "baseline": "arm-0", **empty}
    path = folder / "many.yaml"
    path.write_text(yaml.safe_dump(experiment))
    return path


def finish(folder: Path, experiment: Path) -> int:
    """Make every file of an experiment, with what Snakemake records; the number of artefacts."""
    config = ("--config", f"experiment={experiment.name}")
    printed = snakemake(folder, "--summary", *config)[1]
    outputs = [line.split("\t")[0] for line in printed.splitlines() if line.startswith("results/")]
    for output in outputs:
        path = folder / output
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix or path.name.endswith(".tmp"):
            path.touch()
        else:
            path.mkdir(exist_ok=True)
    snakemake(folder, "--touch", "--forceall", *config)
    return sum("results/store/" in output and ".parts/" not in output for output in outputs)


if __name__ == "__main__":
    main()
