"""Rule fetch_published: answers that somebody else generated, for the experiment's prompts."""

from pathlib import Path

from alignlab.jobs import job
from alignlab.sources.published import fetch_published

with job(snakemake.log[0]):
    fetch_published(
        snakemake.params.spec,
        [Path(path) for path in snakemake.input.prompts],
        Path(snakemake.output.responses),
    )
