"""Rule qualify_judges: what judges are worth, and whom they prefer."""

from alignlab.judging.qualification import QualificationJob, qualify
from alignlab.judging.winrates import winrates
from alignlab.operations.job import job

with job(snakemake, QualificationJob) as given:
    qualify(given)
    winrates(given)
