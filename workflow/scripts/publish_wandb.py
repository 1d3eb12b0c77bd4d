"""Rule publish_wandb: finished tables, figures and the report go to Weights & Biases."""

from alignlab.operations.job import job
from alignlab.tracking.publish import PublishJob, publish

with job(snakemake, PublishJob) as given:
    publish(given)
