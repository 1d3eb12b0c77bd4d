"""Rule gather_responses: the parts of an arm become one table."""

from alignlab.answering.generate import GatherJob, gather
from alignlab.operations.job import job

with job(snakemake, GatherJob) as given:
    gather(given)
