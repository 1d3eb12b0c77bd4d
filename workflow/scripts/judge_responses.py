"""Rule judge_responses: a judge scores an arm's answers, or controls."""

from alignlab.judging.score_answers import JudgementsJob, judge_responses
from alignlab.judging.stages import JUDGEMENTS
from alignlab.operations.job import job

with job(snakemake, JudgementsJob, timed=JUDGEMENTS) as given:
    judge_responses(given)
