"""Rule gather_responses: the parts of an arm become one table."""

from pathlib import Path

from alignlab.experiment.artefact import STORE
from alignlab.experiment.load import load_study
from alignlab.experiment.plan import Plan
from alignlab.generate import gather
from alignlab.jobs import job

with job(snakemake):
    plan = Plan(load_study(snakemake.config["experiment"]))
    artefact = plan.find("responses", snakemake.wildcards.key)
    gather(
        artefact.job_spec,
        [Path(path) for path in snakemake.input.parts],
        Path(snakemake.output.responses),
        aside=STORE / "aside" / artefact.key,
        note=artefact.note,
        attempt=snakemake.params.attempt,
    )
