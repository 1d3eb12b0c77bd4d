"""Rule fetch_published: answers that somebody else generated, for the experiment's prompts."""

from alignlab.operations.job import job
from alignlab.sources.published import FetchPublishedJob, fetch_published

with job(snakemake, FetchPublishedJob) as given:
    fetch_published(given)
