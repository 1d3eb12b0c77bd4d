"""Rule fetch_prompts: the rows of a dataset that the experiment asks."""

from pathlib import Path

from alignlab.jobs import job
from alignlab.sources.datasets import fetch_prompts

with job(snakemake.log[0]):
    fetch_prompts(snakemake.params.spec, Path(snakemake.output.prompts))
