"""Rule summarise_metrics: means with intervals, and every arm against the baseline by prompt."""

import json
from pathlib import Path

from alignlab.jobs import job
from alignlab.statistics.summarise import summarise

with job(snakemake.log[0]):
    spec = json.loads(snakemake.params.spec)
    summarise(
        spec,
        dict(zip(spec["arms"], map(Path, snakemake.input.metrics), strict=True)),
        [Path(path) for path in snakemake.input.prompts],
        Path(snakemake.output.statistics),
        Path(snakemake.output.comparisons),
    )
