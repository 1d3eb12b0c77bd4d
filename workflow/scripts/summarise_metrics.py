"""Rule summarise_metrics: means with intervals, arms against the baseline, and scenarios."""

import json
from pathlib import Path

from alignlab.operations.job import job
from alignlab.reporting.arms.summarise import summarise

with job(snakemake):
    given = json.loads(snakemake.params.job)
    tables = Path(given["output"])
    summarise(
        given["spec"],
        {arm: Path(path) for arm, path in given["metrics"].items()},
        {arm: list(map(Path, paths)) for arm, paths in given["judgements"].items()},
        list(map(Path, given["prompts"])),
        tables / "statistics.parquet",
        tables / "comparisons.parquet",
        tables / "breakdown.parquet",
        tables / "scenarios.parquet" if given["spec"]["scenarios"] else None,
    )
