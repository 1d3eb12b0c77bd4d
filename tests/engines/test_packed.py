"""Packed weights and long windows in vLLM: equal to transformers, or refused by name.

One process of vLLM for all of them, since its start is what takes the time (half a minute).
"""

import json
import os
import subprocess

import packed
import pytest
import torch
from test_vllm_engine import PYTHON, REPOSITORY, needs_vllm
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from alignlab.answering.engine_check import CheckedPrompts, compared_rows
from alignlab.core.errors import AlignlabError
from alignlab.engines import packing
from alignlab.engines.transformers_engine import load
from alignlab.shift.model import ScoringModel, Weights
from alignlab.sources.models import FetchModelJob, fetch_model

SHAPE = {
    **{"vocab_size": 1024, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 512},
    **{"initializer_range": 0.1, "tie_word_embeddings": False},
}
ROPE = {"rope_theta": 10000.0}
LONGROPE = {"short_factor": [1 + i / 50 for i in range(16)], "long_factor": [2.0] * 16}
KINDS = {
    "wide": {"model_type": "llama", "max_position_embeddings": 2**21},
    "dynamic": {"model_type": "llama", "rope_parameters": {**ROPE, "rope_type": "dynamic"}},
    "longrope": {
        "model_type": "phi3",
        "original_max_position_embeddings": 64,
        "rope_parameters": {**ROPE, **LONGROPE, "rope_type": "longrope"},
    },
}
KINDS["dynamic"]["rope_parameters"]["factor"] = 4.0
KINDS["longrope"]["rope_parameters"]["original_max_position_embeddings"] = 64
START = [1, *range(20, 40)]
PROMPTS = [[*START, *row] for row in ([100, 101], [200] * 9, [300, 301, 302], [7, 400])]
NEW = 16
# Nats a token: 8-bit kernels round elsewhere than we do (0.02 measured), wrong ones give 0.2.
TOLERANCE = 0.05


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of each model: packed ones, as fetched for vLLM, and those of KINDS."""
    root = tmp_path_factory.mktemp("models")
    tokenizer = AutoTokenizer.from_pretrained(REPOSITORY / "config/catalog/tiny-tokenizer")
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    for name, kind in {"source": {"model_type": "llama"}, **KINDS}.items():
        torch.manual_seed(0)
        config = AutoConfig.for_model(**SHAPE | kind, **ids)
        AutoModelForCausalLM.from_config(config).save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    for form in packed.FORMATS:
        packed.write(root / "source", root / f"{form}-made", root / f"{form}-plain", form)
        spec = {"id": form, "role": "base", "content": "0" * 64, "digest": "0" * 12}
        place = {"source": {"kind": "local", "path": str(root / f"{form}-made")}}
        job = {"spec": {**spec, "engine": "vllm"}, "place": place, "output": root / form}
        fetch_model(FetchModelJob(**job))
    return root


@pytest.fixture(scope="module")
def answered(models):
    case = {"prompts": PROMPTS, "new": NEW, "longer": 60, "dtype": "float32"}
    order = [
        (f, models / f, case | ({"dtype": "bfloat16"} if f == "gptq" else {}))
        for f in (*packed.FORMATS, *KINDS)
    ]
    order += [("gptq-float32", models / "gptq", case)]
    run = subprocess.run(
        [PYTHON, REPOSITORY / "tests/engines/in_vllm_packed.py"],
        input=json.dumps({"models": order, "output": models / "out.json"}, default=str),
        capture_output=True,
        text=True,
        env=os.environ
        | {"PYTHONPATH": str(REPOSITORY / "workflow"), "VLLM_CPU_KVCACHE_SPACE": "1"},
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads((models / "out.json").read_text())


def difference(folder, form, dtype, answers):
    """Mean difference of vLLM's log-probabilities from transformers', nats."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    for name, layer in model.named_modules():
        if form and name.endswith("_proj"):
            layer.register_forward_pre_hook(lambda _, given: (packed.seen(form, given[0]),))
    found = []
    for prompt, (ids, logprobs) in zip(PROMPTS, answers, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        ours = logits.float().log_softmax(-1)[range(len(ids)), ids]
        found.append((ours - torch.tensor(logprobs)).abs())
    return torch.cat(found).mean().item()


@needs_vllm
@pytest.mark.parametrize("form", packed.FORMATS)
def test_packed_weights_are_what_they_stand_for_or_refused_by_name(answered, models, form):
    found, dtype = answered[form], "bfloat16" if form == "gptq" else "float32"
    if "refused" in found:
        assert "the weights are packed" in found["refused"]
        assert {"gptq": "wna16", "int8": "without VNNI"}[form] in found["refused"]
    else:
        assert difference(models / f"{form}-plain", form, dtype, found["answers"]) < TOLERANCE


@needs_vllm
def test_some_packed_weights_run_here(answered):
    assert any("answers" in answered[form] for form in packed.FORMATS)


@needs_vllm
@pytest.mark.parametrize("kind", KINDS)
def test_a_window_beyond_the_cache_or_rope_changes_no_answer(answered, models, kind):
    assert difference(models / kind, "", "float32", answered[kind]["answers"]) < 1e-4


@needs_vllm
def test_a_window_is_as_large_as_the_cache_and_what_exceeds_it_is_refused(answered):
    assert answered["wide"]["window"] == 2**21
    assert 2**17 < answered["wide"]["room"] < 2**21
    assert (answered["dynamic"]["room"], answered["longrope"]["room"]) == (512, 64)
    assert "up to 90 tokens, and vLLM runs 64 of the model's 512" in answered["longrope"]["lacks"]
    assert "rope" in answered["longrope"]["lacks"]


@needs_vllm
def test_a_type_that_packed_weights_are_not_computed_in_is_named(answered):
    assert "torch.float32 is not supported" in answered["gptq-float32"]["refused"]
    assert "another `engine.dtype`" in answered["gptq-float32"]["refused"]


def test_transformers_refuses_packed_weights_by_name(models):
    with pytest.raises(AlignlabError, match=r"packed \(gptq\), and only vLLM answers"):
        load(models / "gptq", "bfloat16", 4)
    with pytest.raises(AlignlabError, match=r"packed \(compressed-tensors\)"):
        ScoringModel(Weights(models / "fp8"), "bfloat16")


def test_integers_that_this_cpu_would_cut_are_refused(models, monkeypatch):
    monkeypatch.setattr(packing, "saturates", lambda: True)
    with pytest.raises(AlignlabError, match="without VNNI"), packing.unpacking(models / "int8", ""):
        pass
    with packing.unpacking(models / "fp8", ""), packing.unpacking(models / "source", ""):
        pass


def test_a_check_of_what_transformers_does_not_run_says_so_and_keeps_vllms_answers(models):
    asked = CheckedPrompts(["d/0", "d/1"], PROMPTS[:2], [], [])
    answers = [{"token_ids": [5, 6], "logprobs": [-1.0, -2.0]}, {"lacking": "no room"}]
    rows = compared_rows(Weights(models / "fp8"), "float32", asked, answers)
    found = {row["prompt_id"]: row for row in rows}
    assert found["d/1"]["skipped"] == "no room"
    assert found["d/0"]["vllm_ids"] == [5, 6]
    assert "packed (compressed-tensors)" in found["d/0"]["skipped"]
    assert found["d/0"]["transformers_ids"] is None


INT8 = {"type": "int", "num_bits": 8}
GROUPS = {
    "quant_method": "compressed-tensors",
    "config_groups": {"all": {"input_activations": INT8}},
}
QUARK = {"quant_method": "quark", "global_quant_config": {"input_tensors": [{"dtype": "int8"}]}}


@pytest.mark.parametrize(
    ("config", "whole"),
    [
        ({}, False),
        ({"quantization_config": GROUPS}, True),
        ({"text_config": {"quantization_config": GROUPS}}, True),
        ({"quantization_config": QUARK}, True),
        (
            {"quantization_config": {**GROUPS, "config_groups": [{"input_activations": None}]}},
            False,
        ),
    ],
)
def test_integer_activations_are_seen_wherever_a_config_says_them(config, whole):
    assert packing.whole_numbers(config) is whole


def test_what_config_json_says_of_quantisation_must_be_an_object():
    with pytest.raises(AlignlabError, match="quantization_config: expected an object"):
        packing.packing({"quantization_config": [8]})


def test_a_refusal_of_our_own_is_not_put_on_packed_weights(tmp_path):
    gptq = {"quantization_config": {"quant_method": "gptq"}}
    (tmp_path / "config.json").write_text(json.dumps(gptq))
    with (
        pytest.raises(AlignlabError, match=r"^the adapter$"),
        packing.unpacking(tmp_path, "float16"),
    ):
        raise AlignlabError("the adapter")
