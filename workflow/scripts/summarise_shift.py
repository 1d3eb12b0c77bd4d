"""Rule summarise_shift: shares, curves, tokens and categories of every pair."""

import json
from pathlib import Path

from alignlab.operations.job import job
from alignlab.shift.statistics.summarise import summarise_shift

with job(snakemake):
    given = json.loads(snakemake.params.job)
    summarise_shift(
        given["spec"],
        {pair: Path(path) for pair, path in given["shifts"].items()},
        list(map(Path, given["prompts"])),
        Path(given["output"]),
    )
