"""Rule fetch_prompts: the rows of a dataset that the experiment asks."""

from pathlib import Path

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.operations.job import job
from alignlab.sources.datasets import fetch_prompts

with job(snakemake):
    plan = Plan(load_experiment(snakemake.config["experiment"]))
    fetch_prompts(
        plan.find("prompts", snakemake.wildcards.key).job_spec, Path(snakemake.output.prompts)
    )
