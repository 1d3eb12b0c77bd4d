"""Every job of the shipped experiments is one that its function takes."""

import pytest
import shipped

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.experiment.results import Results
from alignlab.shift.answers import ShiftJob
from alignlab.shift.stages import SHIFT
from alignlab.shift.summarise import ShiftStatisticsJob

ROLES = ("model", "adapter", "embedder")
pytestmark = pytest.mark.usefixtures("repository")


@pytest.mark.parametrize("name", shipped.EXPERIMENTS)
def test_what_the_plan_gives_a_pair_s_job_is_valid(name):
    for artefact in Plan(load_experiment(name)):
        if artefact.kind is SHIFT:
            job = ShiftJob.model_validate_json(artefact.job(models_together=1))
            assert job.spec.signed == artefact.signed_spec
            assert job.output == artefact.path
            assert job.models_together
            for side, weights in (("base", job.base()), ("aligned", job.aligned())):
                found = [weights.folder, weights.adapter, weights.embedder]
                parents = [artefact.parent(f"{side}_{role}") for role in ROLES]
                assert found == [each[0].path if each else None for each in parents]


@pytest.mark.parametrize("name", shipped.EXPERIMENTS)
def test_what_the_plan_gives_statistics_of_shift_is_valid(name):
    artefact = Results(Plan(load_experiment(name))).shift_statistics
    if artefact:
        job = ShiftStatisticsJob.model_validate_json(artefact.job())
        assert job.spec.signed == artefact.signed_spec
        assert job.shifts.keys() == {pair.name for pair in job.spec.pairs}
