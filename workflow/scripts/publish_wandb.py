"""Rule publish_wandb: finished tables, figures and the report go to Weights & Biases."""

from pathlib import Path

from alignlab.operations.job import job
from alignlab.tracking.publish import publish

with job(snakemake):
    found = snakemake.input
    publish(
        snakemake.params.digest,
        snakemake.params.settings,
        manifest=Path(found.manifest),
        tables=[
            Path(path)
            for path in (found.statistics, found.comparisons, *found.shift, *found.others)
        ],
        figures=[Path(folder) for folder in found.figures],
        report=Path(found.report),
        receipt=Path(snakemake.output.receipt),
    )
