from pathlib import Path

import pytest
import yaml

from alignlab.core.errors import AlignlabError
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan

pytestmark = pytest.mark.usefixtures("repository")


@pytest.fixture
def plan(tmp_path):
    """Plan the smoke experiment, run by an engine."""

    def planned(engine, penalize_prompt=True):
        experiment = yaml.safe_load(Path("config/experiments/smoke.yaml").read_text())
        experiment["engine"]["name"] = engine
        experiment["arms"][-1]["decoding"]["penalize_prompt"] = penalize_prompt
        path = tmp_path / "smoke.yaml"
        path.write_text(yaml.safe_dump(experiment))
        return Plan(load_experiment(str(path)))

    return planned


def checks(plan):
    return {a.name: a for a in plan if a.stage == "engine_checks"}


def test_every_model_that_vllm_runs_is_checked_once(plan):
    found = checks(plan("vllm"))
    assert set(found) == {"tiny-gemma", "tiny-tuned", "tiny-aligned"}
    assert checks(plan("transformers")) == {}


def test_a_check_asks_what_the_first_arm_of_its_model_is_asked(plan):
    planned = plan("vllm")
    check, answers = checks(planned)["tiny-gemma"], planned.responses["zero-shot"]
    assert check.parents == answers.parents
    assert check.spec["method"] == answers.spec["method"]
    assert "adapter" in checks(planned)["tiny-tuned"].parents


def test_a_model_that_no_single_gpu_holds_is_not_checked():
    planned = Plan(load_experiment("urial-paper"))
    models = planned.catalog.models
    spread = {arm.model for arm in planned.experiment.arms if models[arm.model].gpus > 1}
    assert spread
    assert checks(planned)
    assert not spread & checks(planned).keys()


def test_a_penalty_that_vllm_cannot_give_is_refused_with_its_arm(plan):
    plan("transformers", penalize_prompt=False).responses  # noqa: B018
    with pytest.raises(AlignlabError, match=r"smoke.yaml: chat-sampled: .*penalize_prompt"):
        plan("vllm", penalize_prompt=False).responses  # noqa: B018
