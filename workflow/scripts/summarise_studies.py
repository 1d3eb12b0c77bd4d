"""Rule summarise_studies: what models say of answers against what they answer."""

import json
from pathlib import Path

from alignlab.learning.discrimination import summarise_studies
from alignlab.operations.job import job

with job(snakemake):
    spec = json.loads(snakemake.params.spec)
    arms = [study["arm"] for study in spec["studies"]]
    analyses = [entry["name"] for study in spec["studies"] for entry in study["analyses"]]
    summarise_studies(
        spec,
        prompts=[Path(path) for path in snakemake.input.prompts],
        metrics=dict(zip(arms, map(Path, snakemake.input.metrics), strict=True)),
        analyses=dict(zip(analyses, map(Path, snakemake.input.analyses), strict=True)),
        output=Path(snakemake.output.table),
    )
