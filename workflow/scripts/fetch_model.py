"""Rule fetch_model: one model, verified and materialised."""

from alignlab.operations.job import job
from alignlab.sources.models import FetchModelJob, fetch_model

with job(snakemake, FetchModelJob) as given:
    fetch_model(given)
