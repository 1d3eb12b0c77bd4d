"""Rule generate_responses: one model answers one batch of an arm's prompts."""

from pathlib import Path

from alignlab.experiment.artefact import STORE
from alignlab.experiment.load import load_study
from alignlab.experiment.plan import Plan
from alignlab.generate import Part, generate
from alignlab.jobs import job, optional

with job(snakemake, timed=True):
    plan = Plan(load_study(snakemake.config["experiment"]))
    generate(
        plan.find("responses", snakemake.wildcards.key).job_spec,
        [Path(path) for path in snakemake.input.prompts],
        optional(snakemake.input.model),
        optional(snakemake.input.adapter),
        optional(snakemake.input.embedder),
        Path(snakemake.output.responses),
        part=Part(int(snakemake.wildcards.part), int(snakemake.wildcards.parts)),
        aside=STORE / "aside" / snakemake.wildcards.key,
        batch_size=snakemake.resources.batch_size,
    )
