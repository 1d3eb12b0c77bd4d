"""Rule generate_responses: one model answers one batch of an arm's prompts."""

import sys
from pathlib import Path

from alignlab.answering.generate import GenerateJob, generate
from alignlab.answering.stages import RESPONSES
from alignlab.operations.environments import hand_over, python_of
from alignlab.operations.job import as_json, job

with job(snakemake, GenerateJob, timed=RESPONSES) as given:
    python = python_of(given.spec.engine.name)
    if python != Path(sys.executable):
        hand_over(python, "alignlab.operations.job", as_json(snakemake))
    generate(given)
