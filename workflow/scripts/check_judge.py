"""Rule check_judge: can a local judge be scored?"""

from alignlab.judging.check_judge import CheckJudgeJob, check_judge
from alignlab.operations.job import job

with job(snakemake, CheckJudgeJob) as given:
    check_judge(given)
