"""Rule collect_mistakes: bad answers that survive the filters."""

from alignlab.learning.collect import CollectJob, collect
from alignlab.operations.job import job

with job(snakemake, CollectJob) as given:
    collect(given)
