"""Rule summarise_metrics: means with intervals, arms against the baseline, and scenarios."""

import json
from pathlib import Path

from alignlab.operations.job import job
from alignlab.reporting.arms.summarise import summarise

with job(snakemake):
    spec = json.loads(snakemake.params.spec)
    scenarios = snakemake.output.get("scenarios")
    # In the order of the arms, of each as many as it has digests.
    judged = iter(map(Path, snakemake.input.judgements))
    digests = spec["parents"]["judgements"]
    summarise(
        spec,
        dict(zip(spec["arms"], map(Path, snakemake.input.metrics), strict=True)),
        {arm: [next(judged) for _ in digests[arm]] for arm in spec["arms"]},
        [Path(path) for path in snakemake.input.prompts],
        Path(snakemake.output.statistics),
        Path(snakemake.output.comparisons),
        Path(snakemake.output.breakdown),
        Path(scenarios[0]) if scenarios else None,
    )
