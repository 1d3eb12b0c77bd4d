"""Rule summarise_metrics: means with intervals, arms against the baseline, and scenarios."""

from alignlab.operations.job import job
from alignlab.reporting.arms.summarise import summarise
from alignlab.reporting.arms.values import StatisticsJob

with job(snakemake, StatisticsJob) as given:
    summarise(given)
