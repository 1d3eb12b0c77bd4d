"""Rule tune_model: an adapter from a training set."""

import json
from pathlib import Path

from alignlab.learning.overlap import Asked, check_no_overlap
from alignlab.operations.job import job
from alignlab.planning.artefact import aside_of
from alignlab.tuning.finetune import finetune
from alignlab.tuning.stages import ADAPTERS

with job(snakemake, timed=ADAPTERS):
    spec = json.loads(snakemake.params.spec)
    check_no_overlap(
        spec["trainset"],
        Path(snakemake.input.trainset),
        Asked([Path(path) for path in snakemake.input.prompts]),
    )
    finetune(
        spec,
        Path(snakemake.input.model),
        Path(snakemake.input.trainset),
        Path(snakemake.output.adapter),
        aside=aside_of(snakemake.wildcards.key),
    )
