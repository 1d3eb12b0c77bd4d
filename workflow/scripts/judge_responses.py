"""Rule judge_responses: a judge scores an arm's answers, or controls."""

from pathlib import Path

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.judging.score_answers import judge_responses
from alignlab.operations.job import job, optional
from alignlab.planning.artefact import aside_of

with job(snakemake, timed=True):
    plan = Plan(load_experiment(snakemake.config["experiment"]))
    artefact = plan.find("judgements", snakemake.wildcards.key)
    judge_responses(
        {**artefact.job_spec, "attempt": snakemake.params.attempt},
        Path(snakemake.input.responses),
        [Path(path) for path in snakemake.input.prompts],
        optional(snakemake.input.model),
        Path(snakemake.output.judgements),
        replies=artefact.replies,
        note=artefact.note,
        aside=aside_of(artefact.key),
        batch_size=snakemake.resources.batch_size,
    )
