"""What does not grow: start-up, the DAG of many arms, memory over many prompts.

.venv/bin/python benchmarks/scale.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import yaml

from alignlab.core import tables
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.sources.models import FetchModelJob, fetch_model

ARMS, PROMPTS = 1000, 20_000


def main() -> None:
    print(f"alignlab --help: {seconds('-m', 'alignlab.cli', '--help'):.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        path = many_arms(Path(folder))
        config = ["--config", f"experiment={path}"]
        took = seconds("-m", "snakemake", "--cores", "1", "--rulegraph", *config)
        print(f"DAG of {ARMS} arms ({3 * ARMS} jobs): {took:.1f} s")
        model = plan().model("tiny-gemma").job(output=f"{folder}/model")
        fetch_model(FetchModelJob.model_validate_json(model))
        # A process of its own: its peak is the work's, not this script's.
        with get_context("spawn").Pool(1) as pool:
            peak = pool.apply(generate_many, (folder,))
        print(f"{PROMPTS} prompts through the fake engine: peak {peak:.0f} MB")


def plan() -> Plan:
    return Plan(load_experiment("smoke"))


def seconds(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def many_arms(folder: Path) -> Path:
    """An experiment of arms that differ in their decoding."""
    experiment = yaml.safe_load(Path("config/experiments/smoke.yaml").read_text())
    arm = experiment["arms"][1]
    experiment["arms"] = [
        {**arm, "name": f"arm-{i}", "decoding": {"max_new_tokens": i + 1}} for i in range(ARMS)
    ]
    experiment |= {"name": "many", "baseline": "arm-0", "pairs": [], "tuned": []}
    experiment |= {"judges": [], "contrasts": []}
    path = folder / "many.yaml"
    path.write_text(yaml.safe_dump(experiment))
    return path


def generate_many(folder: str) -> float:
    """Answer many prompts with the fake engine under the URIAL prompt; peak memory in MB."""
    from alignlab.answering.generate import GenerateJob, Part, generate

    model, prompts = Path(folder) / "model", Path(folder) / "prompts.parquet"
    question = {
        "dataset": "d",
        "category": "regular",
        "source": None,
        "tags": [],
        "reference": None,
        "mistake": None,
        "target": None,
    }
    with tables.writing("prompts", prompts, {}) as writer:
        for start in range(0, PROMPTS, 1000):
            writer.write(
                {**question, "prompt_id": f"d/{i}", "turns": [f"What is the number {i}, and why?"]}
                for i in range(start, start + 1000)
            )
    spec = {
        **plan().responses["urial-k3-guided"].signed_spec,
        "engine": {"name": "fake", "dtype": "float32"},
    }
    job = GenerateJob(
        spec=spec,
        prompts=[prompts],
        model=model,
        output=Path(folder) / "out.parquet",
        part=Part(0, 1),
        aside=Path(folder) / "aside",
        replies=Path(folder) / "replies.jsonl",
        batch_size=32,
    )
    generate(job)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
