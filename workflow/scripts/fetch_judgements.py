"""Rule fetch_judgements: judgements that somebody else made, of a published arm."""

from alignlab.operations.job import job
from alignlab.sources.published import FetchJudgementsJob, fetch_judgements

with job(snakemake, FetchJudgementsJob) as given:
    fetch_judgements(given)
