"""Rule ask_analyst: the questions that an analyst gets about mistakes or about an arm's answers."""

import json
from pathlib import Path

from alignlab.learning.questions import ask_about_answers, ask_about_mistakes
from alignlab.operations.job import job, optional

with job(snakemake):
    found, spec = snakemake.input, json.loads(snakemake.params.spec)
    output = Path(snakemake.output.questions)
    if found.mistakes:
        ask_about_mistakes(spec, Path(found.mistakes), optional(found.responses), output)
    else:
        prompts = [Path(path) for path in found.prompts]
        ask_about_answers(spec, Path(found.responses), prompts, output)
