"""Rule summarise_shift: shares, curves, tokens and categories of every pair."""

from alignlab.operations.job import job
from alignlab.shift.summarise import ShiftStatisticsJob, summarise_shift

with job(snakemake, ShiftStatisticsJob) as given:
    summarise_shift(given)
