"""Kill -9 random processes of a run, again and again; nothing may be lost and nothing may differ.

    .venv/bin/python benchmarks/fault_hunt.py                 # 20 kills, about 20 minutes
    .venv/bin/python benchmarks/fault_hunt.py --kills 4 --seed 7

A run of an experiment with every kind of job is killed at random moments and started again until
it ends; then a fresh one begins, until there were enough kills. Runs start from a store that has
models and prompts, as killing a download shows nothing of ours. At the end every table and CSV must
equal an undisturbed run's, and every page be there. What the engine was asked is counted: a kill
may cost each job that it ended the batch it was at. Exits with 1 unless all kills were recovered
from.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "config", "envs", "profiles", "workflow", "pyproject.toml")
NAME = "hunted"
BATCH = 2
STARTUP = 4.0
ENDS_WITHIN = 180.0
# Of a table of scores or steps, how long each took.
CLOCKS = ["seconds"]
# Notes every batch that the engine is asked for, before it is answered.
NOTE = """
import json

from alignlab.engines.transformers_engine import TransformersEngine

answer = TransformersEngine._answer


def noting(self, requests, *rest):
    rows = [[snakemake.wildcards.key, request.prompt_ids, request.seed] for request in requests]
    with open("asked.jsonl", "a") as file:
        file.write(json.dumps(rows) + "\\n")
    return answer(self, requests, *rest)


TransformersEngine._answer = noting
"""


@dataclass
class Kill:
    """What was killed, when, and what that cost.

    Attributes:
        seconds: from the start of the run.
        victim: kind of process and, of a script, which.
        answering: jobs that were answering prompts.
        orphans: processes that outlived their Snakemake by half a minute.
        rows: prompts under way then that a later run asked again.
    """

    seconds: float
    victim: str
    answering: int
    orphans: int
    rows: int = 0

    @property
    def batches(self) -> int:
        """Batches that were asked again."""
        return -(-self.rows // BATCH)

    @property
    def cheap(self) -> bool:
        """Whether it cost no more than the batches under way."""
        return not self.orphans and self.batches <= self.answering


def main() -> None:
    options = arguments()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="fault-hunt-") as scratch:
        reference = checkout(Path(scratch) / "reference")
        took = undisturbed(reference)
        print(f"undisturbed: {took:.0f} s, models and prompts there\n")
        print("| kill | after | victim | jobs answering | batches again | orphans | all equal |")
        print("|---|---|---|---|---|---|---|", flush=True)
        done = good = 0
        while done < options.kills:
            folder = fresh(reference, Path(scratch) / "hunted")
            kills = hunted(folder, took, options.kills - done, chance)
            differing = different(reference, folder)
            for kill in kills:
                done, good = done + 1, good + (kill.cheap and not differing)
                print(
                    f"| {done} | {kill.seconds:.1f} s | {kill.victim} | {kill.answering} "
                    f"| {kill.batches} | {kill.orphans} | {', '.join(differing) or 'yes'} |",
                    flush=True,
                )
            shutil.rmtree(folder)
    print(f"\n{good} of {options.kills} kills recovered from")
    sys.exit(good != options.kills)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def checkout(folder: Path) -> Path:
    """A copy of the repository with the experiment, and an engine that notes what it is asked."""
    folder.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)
    script = folder / "workflow/scripts/generate_responses.py"
    before, job, after = script.read_text().partition("\nwith job(")
    script.write_text(before + NOTE + job + after)
    smoke = yaml.safe_load((ROOT / "config/experiments/smoke.yaml").read_text())
    arms = {"zero-shot", "tuned-chat", "chat-sampled"}
    smoke |= {
        "name": NAME,
        "arms": [arm for arm in smoke["arms"] if arm["name"] in arms],
        "pairs": smoke["pairs"][:1],
        "contrasts": [],
        "runtime": {"batch_size": BATCH},
    }
    (folder / "config/experiments" / f"{NAME}.yaml").write_text(yaml.safe_dump(smoke))
    return folder


def undisturbed(folder: Path) -> float:
    """Run to the end; seconds of the part that is hunted."""
    for goals in (["--until", "fetch_model", "fetch_prompts"], []):
        start = time.monotonic()
        if started(folder, *goals).wait():
            sys.exit((folder / "printed.txt").read_text())
    return time.monotonic() - start


def fresh(reference: Path, folder: Path) -> Path:
    """A checkout whose store has models and prompts only."""
    left_out = shutil.ignore_patterns("results", ".snakemake", "asked.jsonl")
    shutil.copytree(reference, folder, ignore=left_out)
    for stage in ("models", "prompts"):
        part = Path("results/store") / stage
        shutil.copytree(reference / part, folder / part)
    return folder


def started(folder: Path, *goals: str) -> psutil.Popen:
    """Start Snakemake; what it prints goes to a file."""
    environ = {"PYTHONPATH": str(folder / "workflow"), "OMP_NUM_THREADS": "1", "WANDB_API_KEY": ""}
    command = ["-m", "snakemake", "--cores", "2", "--config", f"experiment={NAME}", *goals]
    with (folder / "printed.txt").open("w") as printed:
        return psutil.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=os.environ | environ,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )


def hunted(folder: Path, took: float, most: int, chance: random.Random) -> list[Kill]:
    """Run, kill, run again, until a run ends well."""
    kills: list[Kill] = []
    last: dict[str, int] = {}  # prompt as the engine gets it → the run that asked it last
    while True:
        run = started(folder)
        patience = STARTUP + chance.uniform(0, took / 2) if len(kills) < most else None
        try:
            status = run.wait(patience)
        except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
            kills.append(killed(folder, run, chance, patience or 0))
            status = None
        number = len(kills) - (status is None)
        for row in asked(folder):
            if row in last:
                kills[last[row]].rows += 1
            last[row] = number
        if status:
            sys.exit(f"not recovered from {kills}:\n{(folder / 'printed.txt').read_text()}")
        if status == 0:
            return kills


def asked(folder: Path) -> list[str]:
    """Every prompt that the engine was asked since the last call, as often as it was."""
    file = folder / "asked.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return [json.dumps(row) for line in lines for row in json.loads(line)]


def killed(folder: Path, run: psutil.Popen, chance: random.Random, seconds: float) -> Kill:
    """Kill one process of a run, and wait until it is over."""
    tree = [run, *run.children(recursive=True)]
    kinds = defaultdict(list)
    for process in tree:
        kinds["snakemake" if process == run else kind(process)].append(process)
    victim = chance.choice(sorted(kinds))
    answering = len(kinds["script generate_responses"])
    chance.choice(kinds[victim]).kill()
    try:
        run.wait(ENDS_WITHIN)
    except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
        sys.exit(f"Snakemake goes on for {ENDS_WITHIN} s after {victim} was killed")
    _, orphans = psutil.wait_procs(tree[1:], timeout=30)
    for process in orphans:
        process.kill()
    if victim == "snakemake":
        started(folder, "--unlock").wait()
    return Kill(seconds, victim, answering, len(orphans))


def kind(process: psutil.Process) -> str:
    """What a process below Snakemake's main one is."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return "gone"
    scripts = [Path(word).stem for word in words if "/.snakemake/scripts/" in word]
    if "python" not in Path(words[0]).name if words else True:
        return "shell"
    return f"script {scripts[0].partition('.')[2]}" if scripts else "job"


def different(reference: Path, folder: Path) -> list[str]:
    """Final files that are not as an undisturbed run makes them."""
    found = []
    results = reference / "results"
    for expected in sorted([*(results / NAME).rglob("*"), *(results / "store").rglob("*.parquet")]):
        actual = folder / expected.relative_to(reference)
        if expected.is_dir() or "wandb" in expected.parts:
            continue
        if not actual.exists():
            found.append(f"{actual.name} is missing")
        elif expected.suffix == ".parquet":
            found += [] if content(expected).equals(content(actual)) else [actual.name]
        elif expected.suffix == ".csv" and expected.read_bytes() != actual.read_bytes():
            found.append(actual.name)
    return found


def content(path: Path):
    table = pq.read_table(path)
    return table.drop_columns([name for name in CLOCKS if name in table.column_names])


if __name__ == "__main__":
    main()
