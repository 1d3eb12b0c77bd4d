"""Rule check_trainsets: what training sets hold, and that no evaluation prompt is among it."""

import json
from pathlib import Path

from alignlab.learning.overlap import check_trainsets
from alignlab.operations.job import job

with job(snakemake):
    given = json.loads(snakemake.params.job)
    check_trainsets(
        given["spec"],
        {name: Path(path) for name, path in given["trainsets"].items()},
        list(map(Path, given["prompts"])),
        Path(given["output"]) / "trainsets.parquet",
    )
