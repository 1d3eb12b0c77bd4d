"""Every job of the shipped experiments is one that its function takes."""

import pytest
import shipped

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.experiment.results import Results
from alignlab.judging import stages
from alignlab.judging.check_judge import CheckJudgeJob
from alignlab.judging.compare_answers import PreferencesJob
from alignlab.judging.controls import ControlsJob
from alignlab.judging.qualification import QualificationJob
from alignlab.judging.score_answers import JudgementsJob

JOBS = {
    stages.JUDGE_CHECKS: (CheckJudgeJob, {}),
    stages.CONTROLS: (ControlsJob, {}),
    stages.JUDGEMENTS: (JudgementsJob, {"batch_size": 8}),
    stages.PREFERENCES: (PreferencesJob, {"batch_size": 8}),
}
pytestmark = pytest.mark.usefixtures("repository")


@pytest.mark.parametrize("name", shipped.EXPERIMENTS)
def test_what_the_plan_gives_a_judge_s_job_is_valid(name):
    for artefact in Plan(load_experiment(name)):
        if artefact.kind in JOBS:
            kind, run = JOBS[artefact.kind]
            job = kind.model_validate_json(artefact.job(**run))
            assert job.spec.signed == artefact.signed_spec
            assert job.output == artefact.path
            if artefact.runtime:
                assert job.place.runtime.model_dump(mode="json") == artefact.runtime
                assert job.replies == artefact.replies


@pytest.mark.parametrize("name", shipped.EXPERIMENTS)
def test_what_the_plan_gives_qualification_is_valid(name):
    artefact = Results(Plan(load_experiment(name))).qualification
    if artefact:
        job = QualificationJob.model_validate_json(artefact.job())
        assert job.spec.signed == artefact.signed_spec
        assert job.output == artefact.home
