"""Rule write_manifest: what was made, from what, by which versions, on which machine."""

from pathlib import Path

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.operations.job import job
from alignlab.operations.manifest import write_manifest

with job(snakemake, verified=False):
    write_manifest(
        Plan(load_experiment(snakemake.config["experiment"])), Path(snakemake.output.manifest)
    )
