"""Rule check_engine: one model's answers by vLLM, compared with those by transformers."""

import json
from pathlib import Path

from alignlab.answering.engine_check import check_engine
from alignlab.operations.environments import python_of
from alignlab.operations.job import job, optional
from alignlab.shift.model import Weights

with job(snakemake):
    found = snakemake.input
    check_engine(
        json.loads(snakemake.params.spec),
        [Path(path) for path in found.prompts],
        Weights(Path(found.model), optional(found.adapter), optional(found.embedder)),
        Path(snakemake.output.check),
        python_of("vllm"),
    )
