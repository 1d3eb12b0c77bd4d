"""Rule fetch_model: one model, verified and materialised."""

import json
from pathlib import Path

from alignlab.operations.job import job
from alignlab.sources.models import fetch_model

with job(snakemake):
    given = json.loads(snakemake.params.job)
    fetch_model({**given["spec"], **given["place"]}, Path(given["output"]))
