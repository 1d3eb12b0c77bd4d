"""Models behind endpoints: what may use them, what of them is in digests, and their keys."""

import copy

import pytest
import yaml

from alignlab.core.errors import AlignlabError
from alignlab.endpoints.config import RUNTIME
from alignlab.endpoints.replies import check_keys
from alignlab.experiment import cards
from alignlab.experiment.checks import check_references
from alignlab.experiment.config import Catalog
from alignlab.experiment.load import Loaded, load_experiment
from alignlab.experiment.plan import Plan
from alignlab.reporting.cards import JudgeCard

pytestmark = pytest.mark.usefixtures("repository")

PRICE = {"prompt": 30, "completion": 60}
SOURCE = {"kind": "api", "model": "gpt-x", "key": "SOME_KEY", "price": PRICE}
ENTRY = {"source": SOURCE, "role": "aligned", "license": "terms"}
CHAT, ZERO_SHOT = {"kind": "chat"}, {"kind": "zero-shot"}
LOCAL = {"name": "local", "model": "tiny-base", "method": ZERO_SHOT}
GPT = {"name": "gpt", "model": "gpt", "method": CHAT, "max_usd": 5}
EXPERIMENT = {
    "name": "mine",
    "title": "Mine",
    "prompts": [{"dataset": "smoke-questions"}],
    "baseline": "local",
    "arms": [LOCAL, GPT],
    "embedder": None,
}


@pytest.fixture
def planned(tmp_path):
    """Plan an experiment with changes to it and to the catalog's entry of the model `gpt`."""

    def planned(experiment=None, source=None, judges=None):
        path = tmp_path / "mine.yaml"
        plain = {**copy.deepcopy(EXPERIMENT), "arms": [LOCAL]}
        path.write_text(yaml.safe_dump(plain))
        loaded = load_experiment(str(path))
        changed = loaded.catalog.model_dump()
        changed["models"]["gpt"] = {**ENTRY, "source": {**SOURCE, **(source or {})}}
        changed["judges"] |= judges or {}
        catalog = Catalog.model_validate(changed)
        chosen = type(loaded.experiment).model_validate({**EXPERIMENT, **(experiment or {})})
        check_references(chosen, catalog)
        return Plan(Loaded(chosen, catalog, loaded.path))

    return planned


def test_an_arm_of_it_needs_no_weights(planned):
    plan = planned()
    assert {a.name for a in plan if a.stage == "models"} == {"tiny-base"}
    arm = plan.responses["gpt"]
    assert [*arm.parents] == ["prompts"]
    assert arm.slice["engine"] == {
        "name": "openai",
        "model": "gpt-x",
        "base_url": "https://api.openai.com/v1",
        "form": "chat",
    }
    assert str(arm.replies) == "results/store/replies/responses.gpt.jsonl"
    assert plan.responses["local"].place == {}


def test_price_patience_and_limit_change_no_digest_and_the_model_does(planned):
    patient = {"price": None, "concurrency": 1, "timeout": 9, "retries": 0, "key": None}
    assert patient.keys() == RUNTIME
    free = {"arms": [LOCAL, {**GPT, "max_usd": None}]}
    usual = planned().responses["gpt"]
    assert planned(free, patient).responses["gpt"].digest == usual.digest
    for change in ({"model": "gpt-y"}, {"base_url": "http://localhost:1/v1"}):
        assert planned(source=change).responses["gpt"].digest != usual.digest
    shorter = {"arms": [LOCAL, {**GPT, "decoding": {"max_new_tokens": 3}}]}
    assert planned(shorter).responses["gpt"].digest != usual.digest


def test_one_job_writes_its_replies(planned):
    plan = planned({"runtime": {"jobs_per_arm": 4}})
    assert plan.parts_of(plan.responses["gpt"]) == 1
    assert plan.parts_of(plan.responses["local"]) == 4


TUNED = {"name": "t", "base": "gpt", "trainset": "pool", "chat_template": "chat/gemma"}
POOL = {"name": "pool", "recipe": "sft", "answers": [{"dataset": "pool", "take": 8}]}
PAIR = {"name": "p", "aligned": "gpt", "base": "local"}
SET = {"kind": "chat", "chat_template_kwargs": {"enable_thinking": False}}
JUDGE = {"name": "j", "judge": "mine", "rubrics": ["judge/quality"]}


@pytest.mark.parametrize(
    ("experiment", "source", "message"),
    [
        ({}, {"form": "completions"}, r"arms\.1\.method: chat: gpt is asked in completions form"),
        ({"arms": [LOCAL, {**GPT, "method": ZERO_SHOT}]}, {}, r"arms\.1\.method: zero-shot: gpt"),
        ({"arms": [LOCAL, {**GPT, "method": SET}]}, {}, r"arms\.1\.method\.chat_template_kwargs"),
        ({"decoding": {"repetition_penalty": 1.1}}, {}, r"arms\.1\.decoding: .*repetition_penal"),
        ({}, {"price": None}, r"arms\.1\.max_usd: gpt has no `price`"),
        ({"arms": [{**LOCAL, "max_usd": 1}]}, {}, r"arms\.0\.max_usd: tiny-base runs here"),
        ({"pairs": [PAIR]}, {}, r"pairs\.0\.aligned: gpt: gpt is behind an endpoint"),
        ({"tuned": [TUNED], "trainsets": [POOL]}, {}, r"tuned\.0\.base: gpt is behind an endpoint"),
        ({"judges": [JUDGE]}, {}, r"catalog judge mine: model: gpt is behind an endpoint"),
    ],
)
def test_what_does_not_fit_is_refused(planned, experiment, source, message):
    local_judge = {"mine": {"kind": "local", "model": "gpt"}}
    with pytest.raises(AlignlabError, match=message):
        planned(experiment, source, local_judge)


@pytest.mark.parametrize(
    "change", [{"role": "embedder"}, {"engine": "vllm"}, {"chat_template": "x"}, {"kv_values": 1}]
)
def test_what_is_said_of_weights_is_refused(change):
    with pytest.raises(ValueError, match="a model behind an endpoint"):
        Catalog.model_validate({"models": {"gpt": {**ENTRY, **change}}, "datasets": {}})


def test_completions_form_is_for_every_other_method(planned):
    arms = {"arms": [LOCAL, {**GPT, "method": ZERO_SHOT}]}
    assert planned(arms, {"form": "completions"}).responses["gpt"].slice["method"]["kind"]


def test_a_missing_key_is_named_with_its_arm(planned, monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(AlignlabError, match=r"responses gpt: gpt-x at .*SOME_KEY is not set"):
        check_keys(planned())
    monkeypatch.setenv("SOME_KEY", "sk-1")
    check_keys(planned())


def test_a_judge_that_only_compares_is_known_to_compare_itself(planned):
    judge = {"kind": "openai", "model": "gpt-x", "key": None}
    compares = {"name": "j", "judge": "mine", "rubrics": ["judge/pairwise"]}
    duels = {"judges": [{**compares, "duels": [["gpt", "local"]]}]}
    plan = planned(duels, judges={"mine": judge})
    assert cards.judged(plan) == []
    assert cards.judges(plan) == {"j": JudgeCard(model="gpt-x", judged_self=("gpt",))}
    other = planned(duels, judges={"mine": {**judge, "model": "gpt-y"}})
    assert cards.judges(other)["j"].judged_self == ()
