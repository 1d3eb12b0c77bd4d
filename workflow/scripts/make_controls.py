"""Rule make_controls: answers spoilt on purpose, to see whether a judge notices."""

import json
from pathlib import Path

from alignlab.judging.controls import make_controls
from alignlab.operations.job import job

with job(snakemake):
    make_controls(
        json.loads(snakemake.params.spec),
        Path(snakemake.input.responses),
        [Path(path) for path in snakemake.input.prompts],
        Path(snakemake.output.controls),
    )
