"""Rule generate_responses: one model answers one batch of an arm's prompts."""

import json
import sys
from pathlib import Path

from alignlab.answering.stages import RESPONSES
from alignlab.operations.environments import hand_over, python_of
from alignlab.operations.job import as_json, job

with job(snakemake, timed=RESPONSES):
    given = json.loads(snakemake.params.job)
    python = python_of(given["spec"]["engine"]["name"])
    if python != Path(sys.executable):
        hand_over(python, "alignlab.operations.worker", {**given, "job": as_json(snakemake)})
    # Only now: torch takes seconds, and the other interpreter loads its own.
    from alignlab.operations.worker import run

    run(given)
