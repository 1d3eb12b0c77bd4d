"""Rule fetch_published: answers that somebody else generated, for the experiment's prompts."""

import json
from pathlib import Path

from alignlab.operations.job import job
from alignlab.sources.published import fetch_published

with job(snakemake):
    given = json.loads(snakemake.params.job)
    fetch_published(
        {**given["spec"], **given["place"]},
        list(map(Path, given["prompts"])),
        Path(given["output"]),
    )
