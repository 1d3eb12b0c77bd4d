"""Rule score_shift: an aligned model's answers under two models, token by token."""

from alignlab.operations.job import job
from alignlab.shift.answers import ShiftJob
from alignlab.shift.score import score_shift
from alignlab.shift.stages import SHIFT

with job(snakemake, ShiftJob, timed=SHIFT) as given:
    score_shift(given)
