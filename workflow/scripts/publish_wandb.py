"""Rule publish_wandb: finished tables, figures and the report go to Weights & Biases."""

from pathlib import Path

from alignlab.jobs import job
from alignlab.tracking.publish import publish

with job(snakemake.log[0]):
    publish(
        snakemake.params.digest,
        snakemake.params.settings,
        manifest=Path(snakemake.input.manifest),
        tables=[Path(snakemake.input.statistics), Path(snakemake.input.comparisons)],
        figures=Path(snakemake.input.figures),
        report=Path(snakemake.input.report),
        receipt=Path(snakemake.output.receipt),
    )
