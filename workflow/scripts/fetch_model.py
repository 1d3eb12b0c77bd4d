"""Rule fetch_model: one model, verified and materialised."""

from pathlib import Path

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.operations.job import job
from alignlab.sources.models import fetch_model

with job(snakemake):
    plan = Plan(load_experiment(snakemake.config["experiment"]))
    fetch_model(plan.find("models", snakemake.wildcards.key).job_spec, Path(snakemake.output.model))
