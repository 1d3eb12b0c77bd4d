"""Rule build_trainset: the examples that a model is tuned on."""

import json
from pathlib import Path

from alignlab.learning.trainset import build_trainset
from alignlab.operations.job import job, optional

with job(snakemake):
    build_trainset(
        json.loads(snakemake.params.spec),
        [Path(path) for path in snakemake.input.answers],
        optional(snakemake.input.mistakes),
        optional(snakemake.input.responses),
        Path(snakemake.output.trainset),
    )
