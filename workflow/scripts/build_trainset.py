"""Rule build_trainset: the examples that a model is tuned on."""

from alignlab.learning.recipes import TrainsetJob, build_trainset
from alignlab.operations.job import job

with job(snakemake, TrainsetJob) as given:
    build_trainset(given)
