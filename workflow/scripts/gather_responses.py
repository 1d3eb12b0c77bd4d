"""Rule gather_responses: the parts of an arm become one table."""

from pathlib import Path

from alignlab.generate import gather
from alignlab.jobs import job

with job(snakemake.log[0]):
    gather(
        snakemake.params.spec,
        [Path(path) for path in snakemake.input.parts],
        Path(snakemake.output.responses),
        aside=Path("results/store/aside") / snakemake.wildcards.key,
    )
