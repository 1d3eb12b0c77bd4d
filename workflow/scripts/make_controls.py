"""Rule make_controls: answers spoilt on purpose, to see whether a judge notices."""

import json
from pathlib import Path

from alignlab.jobs import job
from alignlab.judging.controls import make_controls

with job(snakemake):
    make_controls(
        json.loads(snakemake.params.spec),
        Path(snakemake.input.responses),
        [Path(path) for path in snakemake.input.prompts],
        Path(snakemake.output.controls),
    )
