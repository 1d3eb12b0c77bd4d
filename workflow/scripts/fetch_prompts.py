"""Rule fetch_prompts: the rows of a dataset that the experiment asks."""

from alignlab.operations.job import job
from alignlab.sources.datasets import FetchPromptsJob, fetch_prompts

with job(snakemake, FetchPromptsJob) as given:
    fetch_prompts(given)
