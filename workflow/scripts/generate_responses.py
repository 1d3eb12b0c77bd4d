"""Rule generate_responses: one model answers one batch of an arm's prompts."""

import sys
from pathlib import Path

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.operations.environments import hand_over, python_of
from alignlab.operations.job import as_json, job
from alignlab.planning.artefact import aside_of

with job(snakemake, timed=True):
    spec = (
        Plan(load_experiment(snakemake.config["experiment"]))
        .find("responses", snakemake.wildcards.key)
        .job_spec
    )
    order = {
        "spec": spec,
        "prompts": list(snakemake.input.prompts),
        "model": snakemake.input.model,
        "adapter": snakemake.input.adapter,
        "embedder": snakemake.input.embedder,
        "output": snakemake.output.responses,
        "part": [int(snakemake.wildcards.part), int(snakemake.wildcards.parts)],
        "aside": str(aside_of(snakemake.wildcards.key)),
        "batch_size": snakemake.resources.batch_size,
        "job": as_json(snakemake),
    }
    python = python_of(spec["engine"]["name"])
    if python != Path(sys.executable):
        hand_over(python, "alignlab.operations.worker", order)
    # Only now: torch takes seconds, and the other interpreter loads its own.
    from alignlab.operations.worker import run

    run(order)
