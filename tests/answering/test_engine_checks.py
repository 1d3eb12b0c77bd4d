from pathlib import Path

import pytest
import yaml
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from alignlab.answering.engine_check import EngineCheckJob, check_engine
from alignlab.answering.engine_statistics import engine_lines, engine_row
from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan

pytestmark = pytest.mark.usefixtures("repository")


@pytest.fixture
def plan(tmp_path):
    """Plan the smoke experiment, run by an engine."""

    def planned(engine, penalize_prompt=True, rank=4):
        experiment = yaml.safe_load(Path("config/experiments/smoke.yaml").read_text())
        experiment["engine"]["name"] = engine
        experiment["tuned"][0]["lora"] = {"rank": rank}
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


def test_an_adapter_of_a_rank_that_vllm_cannot_run_is_refused_with_its_arm(plan):
    plan("vllm", rank=512).responses  # noqa: B018
    plan("transformers", rank=513).responses  # noqa: B018
    with pytest.raises(AlignlabError, match=r"smoke.yaml: tuned-\S+: .*lora.rank: .*512.* 513"):
        plan("vllm", rank=513).responses  # noqa: B018


def test_a_cache_of_no_size_is_refused_with_the_variable(plan, monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "2GB")
    with pytest.raises(AlignlabError, match="VLLM_CPU_KVCACHE_SPACE=2GB: expected a whole number"):
        plan("vllm").responses  # noqa: B018


def test_a_model_whose_window_holds_no_prompt_is_not_checked_and_says_why(repository, tmp_path):
    folder, asked = tmp_path / "narrow", tmp_path / "prompts.parquet"
    AutoTokenizer.from_pretrained("config/catalog/tiny-tokenizer").save_pretrained(folder)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "vocab_size": 1024}
    sizes |= {"num_attention_heads": 2, "max_position_embeddings": 70}
    AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **sizes)).save_pretrained(folder)
    row = dict.fromkeys(tables.schema("prompts").names)
    row |= {"dataset": "d", "category": "regular", "tags": []}
    turns = {"d/0": ["Why is the sky blue?"], "d/1": ["How do birds fly over the sea?"]}
    rows = [{**row, "prompt_id": name, "turns": said} for name, said in turns.items()]
    tables.write("prompts", asked, rows, {})
    spec = {"model": "narrow", "method": {"kind": "zero-shot"}, "digest": "0" * 12}
    spec["engine"] = {"name": "vllm", "dtype": "float32"}
    output = tmp_path / "check.parquet"
    job = EngineCheckJob(spec=spec, prompts=(asked,), model=folder, output=output)
    check_engine(job, Path("/no/vllm/here"))
    found = engine_row(output)
    assert (found["prompts"], found["skipped"], found["passed"]) == (0, 2, None)
    assert "no room for 64 tokens in 70" in found["reason"]
    assert engine_lines([found])[0].startswith(
        "vLLM was NOT CHECKED against transformers on narrow"
    )
