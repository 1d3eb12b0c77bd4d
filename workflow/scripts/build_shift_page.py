"""Rule build_shift_page: the token-shift page, its data files and its figures."""

import json
from pathlib import Path

from alignlab.operations.job import job
from alignlab.reporting.shift.figures import draw_shift
from alignlab.reporting.shift.page import build_shift_page

with job(snakemake):
    given = json.loads(snakemake.params.job)
    spec, tables = given["spec"], Path(given["statistics"]).parent
    build_shift_page(
        spec,
        {pair: Path(path) for pair, path in given["shifts"].items()},
        list(map(Path, given["prompts"])),
        {arm: Path(path) for arm, path in given["responses"].items()},
        draw_shift(tables, spec["pairs"], Path(snakemake.output.figures)),
        tables,
        Path(snakemake.output.page),
        Path(snakemake.output.data),
    )
