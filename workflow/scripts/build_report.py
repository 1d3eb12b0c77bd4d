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
    given, found = json.loads(snakemake.params.job), snakemake.input
    inputs = Inputs(
        statistics=Path(found.statistics),
        comparisons=Path(found.comparisons),
        breakdown=Path(found.breakdown),
        responses={arm: Path(path) for arm, path in given["responses"].items()},
        metrics={arm: Path(path) for arm, path in given["metrics"].items()},
        judgements={arm: list(map(Path, paths)) for arm, paths in given["judgements"].items()},
        prompts=list(map(Path, given["prompts"])),
        training={
            name: Path(folder) / "training.parquet" for name, folder in given["adapters"].items()
        },
        **{name: Path(found[name][0]) if found[name] else None for name in ONE_OR_NONE},
    )
    build_report(
        given["spec"],
        inputs,
        json.loads(Path(found.manifest).read_text(encoding="utf-8")),
        Path(snakemake.output.report),
        Path(snakemake.output.figures),
    )
