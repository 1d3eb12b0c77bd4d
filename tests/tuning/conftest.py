"""A tiny model with the shipped tokenizer, and the spec of a short tuning of it."""

import pytest
import torch
import yaml

from alignlab.experiment.tuning import Tuned
from alignlab.sources.weights import from_seed

SHAPE = {
    "vocab_size": 1024,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 1024,
    "initializer_range": 0.2,
}


@pytest.fixture(autouse=True)
def one_thread():
    """Sums over threads come in no fixed order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, repository_root):
    """Make the folder of a tiny model of some architecture."""
    tokenizer = repository_root / "config/catalog/tiny-tokenizer"
    folders = {}

    def make(kind):
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp(kind)
            from_seed({**SHAPE, "model_type": kind}, 0, tokenizer, folders[kind])
        return folders[kind]

    return make


@pytest.fixture(scope="session")
def pairs(repository_root):
    """The first question-answer pairs of the shipped pool."""
    text = (repository_root / "config/prompts/icl/pool.yaml").read_text(encoding="utf-8")
    examples = yaml.safe_load(text)["examples"][:12]
    return [{"query": e["query"], "answer": e["answer"]} for e in examples]


@pytest.fixture
def make_spec(pairs):
    """A resolved spec, as the plan gives it; keywords change keys."""

    def make(**changes):
        keys = {"name": "tiny-tuned", "base": "tiny", "examples": "icl/pool"}
        return {
            **Tuned(**keys).model_dump(mode="json", exclude_none=True),
            "examples": pairs,
            "method": {"kind": "chat", "module": "alignlab.prompting.chat"},
            "engine": {"name": "transformers", "dtype": "float32"},
            "seed": 0,
            "digest": "0123456789ab",
            "lora": {"rank": 4, "alpha": 8, "dropout": 0.1, "targets": "all-linear"},
            **changes,
        }

    return make
