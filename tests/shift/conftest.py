"""Pairs of tiny random models with the shipped tokenizer, and answers of theirs."""

import random

import pytest
import torch
from asked import LENGTHS, QUESTIONS, ZERO_SHOT
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from alignlab.core import tables
from alignlab.shift.answers import ShiftJob
from alignlab.shift.score import score_shift

SHAPE = {
    "vocab_size": 1024,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
KINDS = {
    "tied": {"model_type": "llama", "tie_word_embeddings": True},
    "capped": {
        "model_type": "gemma2",
        "head_dim": 16,
        "sliding_window": 8,
        "final_logit_softcapping": 5.0,
    },
    "scaled": {"model_type": "cohere", "logit_scale": 0.25},
    "biased": {"model_type": "phi", "num_key_value_heads": 4},
}


@pytest.fixture(scope="session")
def tokenizer(repository_root):
    return AutoTokenizer.from_pretrained(repository_root / "config/catalog/tiny-tokenizer")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, tokenizer):
    """Make the folder of a tiny model; another seed gives other weights."""
    folders = {}

    def make(kind, seed=0):
        if (kind, seed) not in folders:
            folders[kind, seed] = folder = tmp_path_factory.mktemp(f"{kind}-{seed}")
            torch.manual_seed(seed)
            ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
            config = AutoConfig.for_model(**{**SHAPE, **KINDS[kind]}, **ids)
            model = AutoModelForCausalLM.from_config(config)
            bias = model.get_output_embeddings().bias
            if bias is not None:
                torch.nn.init.normal_(bias)
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        return folders[kind, seed]

    return make


def spec(**changes):
    return {
        "pair": "a-vs-b",
        "template": "own",
        "base": {"model": "b", "method": ZERO_SHOT},
        "aligned": {"arm": "chat", "model": "a"},
        "engine": {"dtype": "float32"},
        "digest": "0" * 12,
    } | changes


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.parquet"
    rows = [
        {
            "prompt_id": f"q/{i}",
            "dataset": "q",
            "category": "regular",
            "source": "",
            "turns": [text],
            "tags": [],
            "reference": None,
            "mistake": None,
            "target": None,
        }
        for i, text in enumerate(QUESTIONS)
    ]
    tables.write("prompts", path, rows, {})
    return [path]


@pytest.fixture
def answer(tokenizer):
    """Make a responses row: random ids of the vocabulary, in front of them a prompt of its own."""

    def make(number, length, **changes):
        chance = random.Random(number)
        ids = tokenizer("The answer is that it depends, of course. ").input_ids
        token_ids = [chance.choice(ids) for _ in range(length)]
        text = tokenizer.decode(token_ids, skip_special_tokens=True)
        return {
            "arm": "chat",
            "model": "a",
            "prompt_id": f"q/{number}",
            "turn": 0,
            "sample": 0,
            "prompt_ids": tokenizer(f"Hello! {QUESTIONS[number]}").input_ids,
            "raw_text": text,
            "text": text.strip(),
            "thoughts": None,
            "token_ids": token_ids,
            "finish_reason": "eos",
            "trimmed": "",
            "num_tokens": length,
            "num_words": 1,
            "seed": None,
        } | changes

    return make


@pytest.fixture
def scored(tmp_path, prompts, answer):
    """Score rows under two folders; rows of the token_shift table."""

    def run(base, aligned, /, rows=None, together=True, **changes):
        rows = [answer(i, n) for i, n in enumerate(LENGTHS)] if rows is None else rows
        job = ShiftJob(
            spec=spec(**changes),
            responses=tmp_path / "responses.parquet",
            prompts=prompts,
            base_model=base,
            aligned_model=aligned,
            output=tmp_path / "shift.parquet",
            models_together=together,
        )
        tables.write("responses", job.responses, rows, {})
        score_shift(job)
        return tables.read("token_shift", job.output).to_pylist()

    return run
