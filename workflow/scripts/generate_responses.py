"""Rule generate_responses: one model answers one batch of an arm's prompts."""

import json
from pathlib import Path

from alignlab.experiment.artefact import STORE
from alignlab.generate import Part, generate
from alignlab.jobs import job, optional

with job(snakemake.log[0]):
    generate(
        json.loads(snakemake.params.spec),
        [Path(path) for path in snakemake.input.prompts],
        Path(snakemake.input.model),
        optional(snakemake.input.adapter),
        optional(snakemake.input.embedder),
        Path(snakemake.output.responses),
        part=Part(int(snakemake.wildcards.part), int(snakemake.wildcards.parts)),
        aside=STORE / "aside" / snakemake.wildcards.key,
        batch_size=snakemake.resources.batch_size,
    )
