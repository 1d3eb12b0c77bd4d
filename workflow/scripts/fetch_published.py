"""Rule fetch_published: answers that somebody else generated, for the experiment's prompts."""

from pathlib import Path

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.operations.job import job
from alignlab.sources.published import fetch_published

with job(snakemake):
    plan = Plan(load_experiment(snakemake.config["experiment"]))
    fetch_published(
        plan.find("responses", snakemake.wildcards.key).job_spec,
        [Path(path) for path in snakemake.input.prompts],
        Path(snakemake.output.responses),
    )
