"""Rule qualify_judges: what judges are worth, and whom they prefer."""

import json
from pathlib import Path

from alignlab.judging.qualification import qualify
from alignlab.judging.winrates import winrates
from alignlab.operations.job import job

with job(snakemake):
    spec = json.loads(snakemake.params.spec)
    judged = [Path(path) for path in snakemake.input.judged]
    of = {
        kind: {judge: [judged[at] for at in places] for judge, places in found.items()}
        for kind, found in spec["tables"].items()
    }
    qualify(
        spec,
        {judge: paths[0] for judge, paths in of["controls"].items() if paths},
        of["preferences"],
        of["judgements"],
        dict(zip(spec["arms"], map(Path, snakemake.input.responses), strict=True)),
        Path(snakemake.output.qualification),
    )
    winrates(
        spec,
        [path for paths in of["preferences"].values() for path in paths],
        [Path(path) for path in snakemake.input.prompts],
        Path(snakemake.output.winrates),
    )
