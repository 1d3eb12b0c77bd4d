"""Rule gather_responses: the parts of an arm become one table."""

import json
from pathlib import Path

from alignlab.experiment.artefact import STORE
from alignlab.generate import gather
from alignlab.jobs import job

with job(snakemake):
    gather(
        json.loads(snakemake.params.spec),
        [Path(path) for path in snakemake.input.parts],
        Path(snakemake.output.responses),
        aside=STORE / "aside" / snakemake.wildcards.key,
        note=STORE / "replies" / f"{snakemake.wildcards.key}.json",
        attempt=snakemake.params.attempt,
    )
