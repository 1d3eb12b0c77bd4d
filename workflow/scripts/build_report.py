"""Rule build_report: one offline HTML file and its figures."""

import json
from pathlib import Path

from alignlab.jobs import job
from alignlab.reporting.report import build_report

with job(snakemake.log[0]):
    spec = json.loads(snakemake.params.spec)
    shift = snakemake.input.shift_figures
    names = [arm["name"] for arm in spec["arms"]]
    build_report(
        spec,
        statistics=Path(snakemake.input.statistics),
        comparisons=Path(snakemake.input.comparisons),
        responses=dict(zip(names, map(Path, snakemake.input.responses), strict=True)),
        metrics=dict(zip(names, map(Path, snakemake.input.metrics), strict=True)),
        prompts=[Path(path) for path in snakemake.input.prompts],
        provenance=json.loads(Path(snakemake.input.manifest).read_text(encoding="utf-8")),
        output=Path(snakemake.output.report),
        figures=Path(snakemake.output.figures),
        shift=Path(shift[0]) if shift else None,
    )
