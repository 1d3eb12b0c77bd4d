"""Every job of the shipped experiments is one that its function takes."""

import json

import pytest
import shipped

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.experiment.results import Results
from alignlab.learning.collect import CollectJob
from alignlab.learning.discrimination import StudiesJob
from alignlab.learning.overlap import CheckTrainsetsJob
from alignlab.learning.questions import AskJob
from alignlab.learning.recipes import TrainsetJob
from alignlab.learning.stages import MISTAKES, QUESTIONS_ASKED, TRAINSETS

JOBS = {MISTAKES: CollectJob, QUESTIONS_ASKED: AskJob, TRAINSETS: TrainsetJob}
pytestmark = pytest.mark.usefixtures("repository")


def test_what_the_plan_gives_is_valid():
    seen = set()
    for name in shipped.EXPERIMENTS:
        for artefact in Plan(load_experiment(name)):
            if artefact.kind in JOBS:
                job = JOBS[artefact.kind].model_validate_json(artefact.job())
                assert job.spec.signed == artefact.signed_spec
                assert job.output == artefact.path
                seen.add(artefact.kind)
    assert seen == JOBS.keys()


def test_what_the_plan_gives_for_the_tables_of_an_experiment_is_valid():
    seen = set()
    for name in shipped.EXPERIMENTS:
        made = Results(Plan(load_experiment(name)))
        for kind, artefact in ((CheckTrainsetsJob, made.trainsets), (StudiesJob, made.studies)):
            if artefact:
                job = kind.model_validate_json(artefact.job())
                assert job.spec.signed == json.loads(json.dumps(artefact.signed_spec))
                assert job.output == artefact.home
                seen.add(kind)
    assert seen == {CheckTrainsetsJob, StudiesJob}
