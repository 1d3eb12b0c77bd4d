"""Rule check_trainsets: what training sets hold, and that no evaluation prompt is among it."""

from alignlab.learning.overlap import CheckTrainsetsJob, check_trainsets
from alignlab.operations.job import job

with job(snakemake, CheckTrainsetsJob) as given:
    check_trainsets(given)
