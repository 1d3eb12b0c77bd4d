"""Rule measure_responses: judge-free metrics of an arm's answers."""

import json
from pathlib import Path

from alignlab.metrics.measure import measure
from alignlab.operations.job import job, optional

with job(snakemake):
    measure(
        json.loads(snakemake.params.spec),
        Path(snakemake.input.responses),
        [Path(path) for path in snakemake.input.prompts],
        Path(snakemake.output.metrics),
        optional(snakemake.input.embedder),
    )
