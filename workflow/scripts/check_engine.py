"""Rule check_engine: one model's answers by vLLM, compared with those by transformers."""

from alignlab.answering.engine_check import EngineCheckJob, check_engine
from alignlab.operations.environments import python_of
from alignlab.operations.job import job

with job(snakemake, EngineCheckJob) as given:
    check_engine(given, python_of("vllm"))
