"""Rule collect_mistakes: bad answers that survive the filters."""

import json
from pathlib import Path

from alignlab.learning.collect import collect
from alignlab.operations.job import job, optional

with job(snakemake):
    collect(
        json.loads(snakemake.params.spec),
        [Path(path) for path in snakemake.input.prompts],
        optional(snakemake.input.responses),
        Path(snakemake.output.mistakes),
    )
