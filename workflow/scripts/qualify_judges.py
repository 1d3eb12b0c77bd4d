"""Rule qualify_judges: what judges are worth, and whom they prefer."""

import json
from pathlib import Path

from alignlab.judging.qualification import qualify
from alignlab.judging.winrates import winrates
from alignlab.operations.job import job

with job(snakemake):
    given = json.loads(snakemake.params.job)
    tables = Path(given["output"])
    of = {
        kind: {judge: list(map(Path, paths)) for judge, paths in given[kind].items()}
        for kind in ("controls", "judgements", "preferences")
    }
    qualify(
        given["spec"],
        {judge: paths[0] for judge, paths in of["controls"].items()},
        of["preferences"],
        of["judgements"],
        {arm: Path(path) for arm, path in given["responses"].items()},
        tables / "qualification.parquet",
    )
    winrates(
        given["spec"],
        [path for paths in of["preferences"].values() for path in paths],
        list(map(Path, given["prompts"])),
        tables / "winrates.parquet",
    )
