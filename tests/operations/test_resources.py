"""What jobs ask for, from shapes that are known by heart."""

from pathlib import Path

import pytest
import yaml

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.planning.forecast import CUDA, PROCESS_MB, PROMPT_TOKENS, Need, need

SMOKE = Path("config/experiments/smoke.yaml")
LLAMA = {"parameters": 6_738_415_616, "kv_values": 2 * 32 * 32 * 128}
GB = 10**9
pytestmark = pytest.mark.usefixtures("repository")


@pytest.fixture
def plan(tmp_path):
    """Plan the smoke experiment after a change to its YAML."""

    def planned(change=lambda experiment: None, **entry):
        experiment = yaml.safe_load(SMOKE.read_text())
        change(experiment)
        path = tmp_path / "smoke.yaml"
        path.write_text(yaml.safe_dump(experiment, sort_keys=False))
        made = Plan(load_experiment(str(path)))
        for model in ("tiny-gemma", "tiny-aligned"):
            made.catalog.models[model] = made.catalog.models[model].model_copy(update=entry)
        return made

    return planned


def artefact(plan, stage, name):
    return next(a for a in plan if (a.stage, a.name) == (stage, name))


def size(plan, stage, name, attempt=1):
    return artefact(plan, stage, name).needs(plan.experiment.runtime, attempt)


def test_host_memory_is_two_copies_and_a_process_and_gpu_memory_has_the_cache():
    assert need([14 * GB], held=5 * GB) == Need(PROCESS_MB + 28_000, CUDA / 1e6 + 19_000, 1)
    assert need([14 * GB, 2 * GB], held=0) == Need(PROCESS_MB + 30_000, CUDA / 1e6 + 16_000, 1)


def test_gpus_share_what_is_on_them_and_only_host_memory_grows_with_attempts():
    first, third = (need([140 * GB], 20 * GB, gpus=4, attempt=n) for n in (1, 3))
    assert first.gpu_mb == third.gpu_mb == CUDA / 1e6 + 40_000
    assert first.gpu == third.gpu == 4
    assert third.mem_mb == 3 * first.mem_mb


def test_an_arm_of_llama_2_holds_weights_and_the_cache_of_a_batch(plan):
    def change(experiment):
        experiment["engine"]["dtype"] = "bfloat16"
        experiment["runtime"]["batch_size"] = 16

    # 13.5 GB of weights; half a megabyte a token of cache.
    tokens = 16 * (PROMPT_TOKENS + 12)
    expected = CUDA / 1e6 + (2 * LLAMA["parameters"] + 524_288 * tokens) / 1e6
    assert size(plan(change, **LLAMA), "responses", "zero-shot").gpu_mb == round(expected)


@pytest.mark.parametrize(
    "longer",
    [
        lambda e: e["runtime"].update(batch_size=64),
        lambda e: e["decoding"].update(max_new_tokens=2048),
        lambda e: e["arms"][0].update(method={"kind": "retrieval", "pool": "icl/pool", "k": 8}),
    ],
)
def test_more_tokens_take_more_memory(plan, longer):
    before, after = (
        size(plan(change, **LLAMA), "responses", "zero-shot") for change in (lambda e: None, longer)
    )
    assert after.gpu_mb > before.gpu_mb


def test_a_tuned_model_is_as_large_as_its_base(plan):
    made = plan(**LLAMA)
    tuned, base = (size(made, "responses", arm) for arm in ("tuned-chat", "zero-shot"))
    assert tuned == base


def test_what_loads_no_weights_asks_for_no_gpu(plan):
    def fake(experiment):
        experiment["engine"] = {"name": "fake"}
        for key in ("pairs", "tuned", "trainsets", "judges", "contrasts"):
            del experiment[key]
        experiment["arms"] = experiment["arms"][:1]

    calls = Need(PROCESS_MB, 0, 0)
    assert size(plan(fake, **LLAMA), "responses", "zero-shot") == calls
    assert size(plan(**LLAMA), "judgements", "fake.zero-shot") == calls
    assert size(plan(**LLAMA), "preferences", "fake.tuned-chat-vs-zero-shot") == calls


def test_only_vllm_spreads_a_model_over_gpus(plan):
    def count(**entry):
        # vLLM cannot give the penalty of the last arm.
        changed = plan(lambda e: e["arms"][-1].pop("decoding"), **LLAMA, gpus=4, **entry)
        return size(changed, "responses", "zero-shot").gpu

    assert (count(), count(engine="vllm")) == (1, 4)


def test_vllm_sets_its_cache_apart_in_host_memory(plan, monkeypatch):
    """Without a GPU; where there is one, it is memory to spare."""

    def by(engine):
        def change(experiment):
            experiment["engine"]["name"] = engine
            experiment["arms"][-1].pop("decoding")  # a penalty that vLLM cannot give

        return plan(change, **LLAMA)

    def memory(engine, stage="responses", name="zero-shot"):
        return size(by(engine), stage, name).mem_mb

    own, theirs = memory("transformers"), memory("vllm")
    assert theirs - own == pytest.approx(2 * 2**30 / 1e6, abs=1)
    assert memory("vllm", "engine_checks", "tiny-gemma") == theirs
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "5")
    assert memory("vllm") - theirs == pytest.approx(3 * 2**30 / 1e6, abs=1)


def test_a_pair_is_in_memory_together_unless_the_experiment_says_otherwise(plan):
    def apart(experiment):
        experiment["runtime"]["models_together"] = False

    together, alone = (
        size(plan(change, **LLAMA), "shift", "tuned-vs-base") for change in (lambda e: None, apart)
    )
    assert together.gpu_mb - alone.gpu_mb == pytest.approx(4 * LLAMA["parameters"] / 1e6, abs=1)


def test_rlhf_holds_a_reward_model_too(plan):
    def rlhf(experiment):
        experiment["trainsets"][0] |= {"recipe": "preference", "mistakes": "bad"}
        del experiment["trainsets"][0]["answers"]
        experiment["mistakes"] = [{"name": "bad", "prompts": [{"dataset": "redteam", "take": 8}]}]
        experiment["tuned"][0] |= {"trainer": "rlhf", "learning_rate": 0.0001}

    sft, learnt = (
        size(plan(change, **{**LLAMA, "kv_values": None}), "adapters", "tiny-tuned")
        for change in (lambda e: None, rlhf)
    )
    assert learnt.gpu_mb - sft.gpu_mb == pytest.approx(4 * LLAMA["parameters"] / 1e6, abs=1)


def test_a_local_judge_is_a_model():
    demo = Plan(load_experiment("demo"))
    judged = next(a for a in demo if a.stage == "judgements" and "model" in a.parents)
    weights = 4 * demo.catalog.models["qwen2.5-coder-1.5b-instruct"].parameters / 1e6
    found = judged.needs(demo.experiment.runtime)
    assert found.gpu == 1
    assert found.mem_mb == round(PROCESS_MB + 2 * weights)


def test_every_language_model_of_the_catalog_that_can_be_loaded_says_its_sizes():
    for name, entry in Plan(load_experiment("smoke")).catalog.models.items():
        if entry.role != "embedder" and entry.source.kind not in ("api", "local"):
            assert entry.parameters, name
            assert entry.kv_values, name
