"""Rule gather_responses: the parts of an arm become one table."""

import json
from pathlib import Path

from alignlab.answering.generate import gather
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.operations.job import job
from alignlab.planning.artefact import aside_of, note_of

with job(snakemake):
    spec = json.loads(snakemake.params.spec)
    key = snakemake.wildcards.key
    if spec["engine"]["name"] == "openai":  # its limit is no param; planning takes a second
        spec = Plan(load_experiment(snakemake.config["experiment"])).find("responses", key).job_spec
    gather(
        spec,
        [Path(path) for path in snakemake.input.parts],
        Path(snakemake.output.responses),
        aside=aside_of(key),
        note=note_of(key),
        attempt=snakemake.params.attempt,
    )
