"""Tiny random models with the shipped tokenizer: one with full, one with sliding attention."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

SHAPE = {
    "vocab_size": 1024,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    # Tied random embeddings would repeat the last token for ever, and every test would agree.
    "tie_word_embeddings": False,
}
KINDS = {
    "llama": {"model_type": "llama"},
    "mistral": {"model_type": "mistral", "sliding_window": 8},
    "qwen2": {"model_type": "qwen2"},
    "gemma2": {"model_type": "gemma2", "head_dim": 16, "sliding_window": 8},
    "gemma3": {
        "model_type": "gemma3_text",
        "head_dim": 16,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, repository_root):
    """Make the folder of a tiny model of some architecture."""
    folders = {}

    def make(kind):
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp(kind)
            tokenizer = AutoTokenizer.from_pretrained(
                repository_root / "config/catalog/tiny-tokenizer"
            )
            torch.manual_seed(0)
            ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
            config = AutoConfig.for_model(**SHAPE, **KINDS[kind], **ids)
            AutoModelForCausalLM.from_config(config).save_pretrained(folders[kind])
            tokenizer.save_pretrained(folders[kind])
        return folders[kind]

    return make
