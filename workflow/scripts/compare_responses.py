"""Rule compare_responses: a judge compares two arms' answers, each shown first once."""

from alignlab.judging.compare_answers import PreferencesJob, compare_responses
from alignlab.judging.stages import PREFERENCES
from alignlab.operations.job import job

with job(snakemake, PreferencesJob, timed=PREFERENCES) as given:
    compare_responses(given)
