"""Rule summarise_shift: shares, curves, tokens and categories of every pair."""

import json
from pathlib import Path

from alignlab.operations.job import job
from alignlab.shift.statistics.summarise import summarise_shift

with job(snakemake):
    spec = json.loads(snakemake.params.spec)
    names = [pair["name"] for pair in spec["pairs"]]
    summarise_shift(
        spec,
        dict(zip(names, map(Path, snakemake.input.shifts), strict=True)),
        [Path(path) for path in snakemake.input.prompts],
        Path(snakemake.params.folder),
    )
