"""Rule fetch_model: one model, verified and materialised."""

from pathlib import Path

from alignlab.jobs import job
from alignlab.sources.models import fetch_model

with job(snakemake.log[0]):
    fetch_model(snakemake.params.spec, Path(snakemake.output.model))
