"""Rule tune_model: an adapter from a training set."""

from alignlab.learning.overlap import AskedQuestions, check_no_overlap
from alignlab.operations.job import job
from alignlab.tuning.fit import TuneJob, finetune
from alignlab.tuning.stages import ADAPTERS

with job(snakemake, TuneJob, timed=ADAPTERS) as given:
    check_no_overlap(given.spec.trainset, given.trainset, AskedQuestions(given.prompts))
    finetune(given)
