"""Rule fetch_judgements: judgements that somebody else made, of a published arm."""

from pathlib import Path

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.operations.job import job
from alignlab.sources.judgements import fetch_judgements

with job(snakemake):
    plan = Plan(load_experiment(snakemake.config["experiment"]))
    fetch_judgements(
        plan.find("judgements", snakemake.wildcards.key).job_spec,
        Path(snakemake.input.responses),
        [Path(path) for path in snakemake.input.prompts],
        Path(snakemake.output.judgements),
    )
