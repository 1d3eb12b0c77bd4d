"""Rule compare_responses: a judge compares two arms' answers, each shown first once."""

from pathlib import Path

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.judging.compare_answers import compare_responses
from alignlab.operations.job import job, optional
from alignlab.planning.artefact import aside_of

with job(snakemake, timed=True):
    plan = Plan(load_experiment(snakemake.config["experiment"]))
    artefact = plan.find("preferences", snakemake.wildcards.key)
    compare_responses(
        {**artefact.job_spec, "attempt": snakemake.params.attempt},
        Path(snakemake.input.a),
        Path(snakemake.input.b),
        [Path(path) for path in snakemake.input.prompts],
        optional(snakemake.input.model),
        Path(snakemake.output.preferences),
        replies=artefact.replies,
        note=artefact.note,
        aside=aside_of(artefact.key),
        batch_size=snakemake.resources.batch_size,
    )
