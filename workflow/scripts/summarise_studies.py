"""Rule summarise_studies: what models say of answers against what they answer."""

import json
from pathlib import Path

from alignlab.learning.discrimination import summarise_studies
from alignlab.operations.job import job

with job(snakemake):
    given = json.loads(snakemake.params.job)
    summarise_studies(
        given["spec"],
        prompts=list(map(Path, given["prompts"])),
        metrics={arm: Path(path) for arm, path in given["metrics"].items()},
        analyses={name: Path(path) for name, path in given["analyses"].items()},
        output=Path(given["output"]) / "discrimination.parquet",
    )
