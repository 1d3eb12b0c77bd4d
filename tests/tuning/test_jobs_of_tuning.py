"""Every job of the shipped experiments is one that its function takes."""

import pytest
import shipped
from pydantic import ValidationError

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.tuning.config import TRAINERS
from alignlab.tuning.examples import AdapterSpec
from alignlab.tuning.fit import TuneJob


@pytest.mark.usefixtures("repository")
def test_what_the_plan_gives_is_valid():
    trainers = set()
    for name in shipped.EXPERIMENTS:
        for artefact in Plan(load_experiment(name)).adapters.values():
            job = TuneJob.model_validate_json(artefact.job(prompts=["p.parquet"]))
            assert job.spec.signed == artefact.signed_spec
            assert job.output == artefact.path
            trainers.add(job.spec.trainer)
    assert trainers == TRAINERS.keys()


def test_a_trainer_has_its_own_keys(make_spec):
    given = {key: value for key, value in make_spec("dpo").signed.items() if key != "dpo"}
    with pytest.raises(ValidationError, match="dpo: trainer dpo needs it"):
        AdapterSpec.model_validate(given)
