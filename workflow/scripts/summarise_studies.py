"""Rule summarise_studies: what models say of answers against what they answer."""

from alignlab.learning.discrimination import StudiesJob, summarise_studies
from alignlab.operations.job import job

with job(snakemake, StudiesJob) as given:
    summarise_studies(given)
