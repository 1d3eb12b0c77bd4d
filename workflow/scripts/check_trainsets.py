"""Rule check_trainsets: what training sets hold, and that no evaluation prompt is among it."""

import json
from pathlib import Path

from alignlab.learning.overlap import check_trainsets
from alignlab.operations.job import job

with job(snakemake):
    spec = json.loads(snakemake.params.spec)
    check_trainsets(
        spec,
        dict(zip(spec["trainsets"], map(Path, snakemake.input.trainsets), strict=True)),
        [Path(path) for path in snakemake.input.prompts],
        Path(snakemake.output.table),
    )
