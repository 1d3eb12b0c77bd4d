"""Rule fetch_prompts: the rows of a dataset that the experiment asks."""

import json
from pathlib import Path

from alignlab.operations.job import job
from alignlab.sources.datasets import fetch_prompts

with job(snakemake):
    given = json.loads(snakemake.params.job)
    fetch_prompts({**given["spec"], **given["place"]}, Path(given["output"]))
