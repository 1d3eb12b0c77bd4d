"""Rule build_report: one offline HTML file and its figures."""

import json
from pathlib import Path

from alignlab.operations.job import job
from alignlab.reporting.inputs import Inputs
from alignlab.reporting.report import build_report

ONE_OR_NONE = (
    *("scenarios", "discrimination", "trainsets", "qualification", "winrates"),
    "shift_figures",
)

with job(snakemake):
    spec, given = json.loads(snakemake.params.spec), snakemake.input
    names = [arm["name"] for arm in spec["arms"]]
    judged = iter(map(Path, given.judgements))
    inputs = Inputs(
        statistics=Path(given.statistics),
        comparisons=Path(given.comparisons),
        breakdown=Path(given.breakdown),
        responses=dict(zip(names, map(Path, given.responses), strict=True)),
        metrics=dict(zip(names, map(Path, given.metrics), strict=True)),
        judgements={arm: [next(judged) for _ in spec["judgements"][arm]] for arm in names},
        prompts=[Path(path) for path in given.prompts],
        training={
            entry["name"]: Path(folder) / "training.parquet"
            for entry, folder in zip(spec["tuned"], given.adapters, strict=True)
        },
        **{name: Path(given[name][0]) if given[name] else None for name in ONE_OR_NONE},
    )
    build_report(
        spec,
        inputs,
        json.loads(Path(given.manifest).read_text(encoding="utf-8")),
        Path(snakemake.output.report),
        Path(snakemake.output.figures),
    )
