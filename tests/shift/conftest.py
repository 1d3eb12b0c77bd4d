"""Pairs of tiny random models with the shipped tokenizer, and answers of theirs."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

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
