"""Rule fetch_judgements: judgements that somebody else made, of a published arm."""

import json
from pathlib import Path

from alignlab.operations.job import job
from alignlab.sources.judgements import fetch_judgements

with job(snakemake):
    given = json.loads(snakemake.params.job)
    fetch_judgements(
        {**given["spec"], **given["place"]},
        Path(given["responses"]),
        list(map(Path, given["prompts"])),
        Path(given["output"]),
    )
