"""Rule ask_analyst: the questions that an analyst gets about mistakes or about an arm's answers."""

from alignlab.learning.questions import AskJob, ask_analyst
from alignlab.operations.job import job

with job(snakemake, AskJob) as given:
    ask_analyst(given)
