"""Rule build_shift_page: the token-shift page, its data files and its figures."""

import json
from pathlib import Path

from alignlab.operations.job import job
from alignlab.reporting.shift.figures import draw_shift
from alignlab.reporting.shift.page import build_shift_page

with job(snakemake):
    spec = json.loads(snakemake.params.spec)
    pairs = [pair["name"] for pair in spec["pairs"]]
    arms = dict.fromkeys(pair["aligned"] for pair in spec["pairs"])
    tables = Path(snakemake.params.tables)
    build_shift_page(
        spec,
        dict(zip(pairs, map(Path, snakemake.input.shifts), strict=True)),
        [Path(path) for path in snakemake.input.prompts],
        dict(zip(arms, map(Path, snakemake.input.responses), strict=True)),
        draw_shift(tables, spec["pairs"], Path(snakemake.output.figures)),
        tables,
        Path(snakemake.output.page),
        Path(snakemake.output.data),
    )
