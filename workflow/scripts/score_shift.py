"""Rule score_shift: an aligned model's answers under two models, token by token."""

import json
from pathlib import Path

from alignlab.operations.job import job, optional
from alignlab.shift.model import Weights
from alignlab.shift.score import score_shift
from alignlab.shift.stages import SHIFT

with job(snakemake, timed=SHIFT):
    found = snakemake.input
    score_shift(
        json.loads(snakemake.params.spec),
        Path(found.responses),
        [Path(path) for path in found.prompts],
        base=Weights(
            Path(found.base_model), optional(found.base_adapter), optional(found.base_embedder)
        ),
        aligned=Weights(
            Path(found.aligned_model),
            optional(found.aligned_adapter),
            optional(found.aligned_embedder),
        ),
        output=Path(snakemake.output.shift),
        together=bool(snakemake.resources.models_together),
    )
