"""Rule measure_responses: judge-free metrics of an arm's answers."""

from alignlab.metrics.measure import MeasureJob, measure
from alignlab.operations.job import job

with job(snakemake, MeasureJob) as given:
    measure(given)
