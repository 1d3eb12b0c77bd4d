"""Our vLLM engine against our transformers engine, on tiny models, in vLLM's own interpreter."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from alignlab.engines.base import Request
from alignlab.engines.config import DecodingConfig
from alignlab.engines.transformers_engine import load
from alignlab.prompting.encode import Stopping

REPOSITORY = Path(__file__).parents[2]
PYTHON = REPOSITORY / ".venv-vllm" / "bin" / "python"
PREFIX = [1, *range(20, 200)]
ROWS = [[100, 101, 102], [200] * 17, [300, 301], [7, 400, 401, 402, 403, 404, 405, 406, 407, 408]]
PROMPTS = [PREFIX + row for row in ROWS]
NEW = {"max_new_tokens": 20}
SAMPLED = {**NEW, "temperature": 0.9, "top_p": 0.9}
SEEDS = [11, 12, 13, 14]
# vLLM has kernels for heads of 32 and more.
SHAPE = {
    "model_type": "llama",
    "vocab_size": 1024,
    "hidden_size": 128,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
}
needs_vllm = pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-vllm: run `make vllm`")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    tokenizer = AutoTokenizer.from_pretrained(REPOSITORY / "config/catalog/tiny-tokenizer")
    torch.manual_seed(0)
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**SHAPE, **ids)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(folder, tmp_path_factory):
    """An adapter that changes every layer, and the chat template."""
    path = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    get_peft_model(plain, config).save_pretrained(path, save_embedding_layers=False)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "the adapter's own"
    tokenizer.save_pretrained(path)
    return path


def transformers_answers(folder, prompts, decoding, stopping=None, adapter=None, end_ids=None):
    engine = load(folder, "float32", 4, adapter)
    if end_ids is not None:
        engine.end_ids = set(end_ids)
    requests = [Request(ids) for ids in prompts]
    stopping = stopping or Stopping()
    found = {}
    for batch in engine.generate(requests, [], DecodingConfig(**decoding), stopping):
        found.update(batch)
    return [found[i] for i in range(len(prompts))]


def in_vllm(tmp_path, **order):
    output = tmp_path / "answers.json"
    order = {"batch_size": 2, **order, "output": str(output)}
    run = subprocess.run(
        [PYTHON, Path(__file__).with_name("in_vllm.py")],
        input=json.dumps(order, default=str),
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY / "workflow"),
            "VLLM_CPU_KVCACHE_SPACE": "1",
        },
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads(output.read_text())


@pytest.fixture(scope="module")
def free(folder):
    """What transformers answers if nothing stops it."""
    return transformers_answers(folder, PROMPTS, NEW)


@pytest.fixture(scope="module")
def middle(free):
    """A stop string out of the middle of an answer, and an end token that one row makes third."""
    text = AutoTokenizer.from_pretrained(REPOSITORY / "config/catalog/tiny-tokenizer").decode(
        free[1].token_ids
    )
    return {"stop": text[:6], "end": free[0].token_ids[2]}


@pytest.fixture(scope="module")
def answered(folder, middle, tmp_path_factory):
    """Every case of this file, answered by one load of vLLM."""
    window = [1] + [50] * (SHAPE["max_position_embeddings"] - 4)
    cases = {
        "greedy": {"prompts": PROMPTS, "decoding": NEW},
        "stop": {"prompts": PROMPTS, "decoding": NEW, "stop": [middle["stop"]]},
        "window": {"prompts": [window, PROMPTS[0]], "decoding": NEW},
        "penalty": {
            "prompts": PROMPTS,
            "decoding": {**NEW, "repetition_penalty": 1.3, "penalize_prompt": True},
        },
        "sampled": {"prompts": PROMPTS, "decoding": SAMPLED, "seeds": SEEDS},
        "backwards": {"prompts": PROMPTS[::-1], "decoding": SAMPLED, "seeds": SEEDS[::-1]},
        "others": {"prompts": PROMPTS, "decoding": SAMPLED, "seeds": [1, 2, 3, 4]},
        "left": {"prompts": PROMPTS * 2, "decoding": NEW, "stop": [middle["stop"]], "leave": True},
        "after": {"prompts": PROMPTS, "decoding": NEW},
        "ends": {"prompts": PROMPTS, "decoding": NEW, "end_ids": [middle["end"]]},
    }
    found = in_vllm(tmp_path_factory.mktemp("out"), folder=folder, cases=list(cases.values()))
    return {**found, **dict(zip(cases, found["cases"], strict=True))}


def same(case, completions):
    assert case["ids"] == [c.token_ids for c in completions]
    assert case["reasons"] == [c.finish_reason for c in completions]


@needs_vllm
def test_greedy_answers_are_those_of_transformers(answered, free):
    assert answered["window"]["ids"][1] == free[0].token_ids
    same(answered["greedy"], free)


@needs_vllm
def test_what_prompts_begin_with_is_computed_once(answered):
    """The cache holds blocks of 128 tokens here, and the prompts share 181."""
    assert answered["greedy"]["cached"] == (len(PROMPTS) - 1) * 128


@needs_vllm
def test_answers_come_in_chunks_of_the_batch_size(answered):
    assert answered["greedy"]["chunks"] == [2, 2]


@needs_vllm
def test_a_stop_string_ends_an_answer_at_the_same_token(answered, folder, middle):
    expected = transformers_answers(folder, PROMPTS, NEW, Stopping((middle["stop"],)))
    assert expected[1].finish_reason == "stop"
    same(answered["stop"], expected)


@needs_vllm
def test_an_end_token_ends_an_answer_and_is_kept(answered, folder, middle):
    expected = transformers_answers(folder, PROMPTS, NEW, end_ids=[middle["end"]])
    assert expected[0].finish_reason == "eos"
    assert answered["ends"]["ids"][0][-1] == middle["end"]
    same(answered["ends"], expected)


@needs_vllm
def test_the_context_window_bounds_an_answer(answered):
    assert answered["window"]["ids"][0] is not None
    assert [len(ids) for ids in answered["window"]["ids"]] == [3, 20]
    assert answered["window"]["reasons"][0] == "length"


@needs_vllm
def test_a_penalty_over_the_prompt_is_that_of_transformers(answered, folder, free):
    decoding = {**NEW, "repetition_penalty": 1.3, "penalize_prompt": True}
    expected = transformers_answers(folder, PROMPTS, decoding)
    assert expected != free
    same(answered["penalty"], expected)


@needs_vllm
def test_a_sampled_answer_depends_on_its_seed_and_never_on_its_batch(answered):
    assert answered["sampled"]["ids"] == answered["backwards"]["ids"][::-1]
    assert answered["sampled"]["ids"] != answered["others"]["ids"]


@needs_vllm
def test_requests_that_nobody_waits_for_are_given_up(answered, free):
    assert answered["left"]["chunks"] == [2]
    assert answered["left"]["ids"].count(None) == 6
    assert answered["unfinished"] == 0
    assert answered["after"]["ids"] == [c.token_ids for c in free]


@needs_vllm
def test_an_adapter_is_applied_and_its_tokenizer_spoken(folder, adapter, free, tmp_path):
    case = {"prompts": PROMPTS, "decoding": NEW}
    found = in_vllm(tmp_path, folder=folder, adapter=adapter, cases=[case])
    expected = transformers_answers(folder, PROMPTS, NEW, adapter=adapter)
    assert found["template"] == "the adapter's own"
    assert expected != free
    same(found["cases"][0], expected)
