"""Rule build_report: one offline HTML file and its figures."""

import json
from pathlib import Path

from alignlab.jobs import job
from alignlab.reporting.report import build_report

with job(snakemake):
    spec = json.loads(snakemake.params.spec)
    # Each is one path, or none where the experiment has nothing of the kind.
    optional = {
        name: Path(snakemake.input[name][0]) if snakemake.input.get(name) else None
        for name in ("scenarios", "discrimination", "trainsets", "qualification", "winrates")
    }
    shift = snakemake.input.shift_figures
    judged = iter(map(Path, snakemake.input.judgements))
    tuned = [entry["name"] for entry in spec["tuned"]]
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
        training={
            name: Path(folder) / "training.parquet"
            for name, folder in zip(tuned, snakemake.input.adapters, strict=True)
        },
        judgements={arm: [next(judged) for _ in spec["judgements"][arm]] for arm in names},
        breakdown=Path(snakemake.input.breakdown),
        **optional,
    )
