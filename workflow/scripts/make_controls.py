"""Rule make_controls: answers corrupted on purpose, to see whether a judge notices."""

from alignlab.judging.controls import ControlsJob, make_controls
from alignlab.operations.job import job

with job(snakemake, ControlsJob) as given:
    make_controls(given)
