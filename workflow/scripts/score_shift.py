"""Rule score_shift: an aligned model's answers under two models, token by token."""

import json
from pathlib import Path

from alignlab.jobs import job
from alignlab.shift.model import Weights
from alignlab.shift.score import score_shift


def only(paths: list[str]) -> Path | None:
    """The one path of an optional input, or none."""
    return Path(paths[0]) if paths else None


with job(snakemake.log[0]):
    found = snakemake.input
    score_shift(
        json.loads(snakemake.params.spec),
        Path(found.responses),
        [Path(path) for path in found.prompts],
        base=Weights(Path(found.base), only(found.base_adapter), only(found.base_embedder)),
        aligned=Weights(
            Path(found.aligned), only(found.aligned_adapter), only(found.aligned_embedder)
        ),
        output=Path(snakemake.output.shift),
        together=bool(snakemake.resources.models_together),
    )
