"""Rule tune_model: an adapter from a training set."""

import json
from pathlib import Path

from alignlab.experiment.artefact import aside_of
from alignlab.jobs import job
from alignlab.tuning.finetune import finetune

with job(snakemake, timed=True):
    finetune(
        json.loads(snakemake.params.spec),
        Path(snakemake.input.model),
        Path(snakemake.input.trainset),
        Path(snakemake.output.adapter),
        aside=aside_of(snakemake.wildcards.key),
    )
