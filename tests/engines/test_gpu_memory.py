"""A model that does not fit the GPU is refused before it is loaded."""

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from alignlab.core.errors import AlignlabError
from alignlab.engines.gpu_memory import (
    LEAST_TOKENS,
    _values_per_token,
    check_gpu_memory,
    weight_bytes,
)
from alignlab.engines.transformers_engine import TransformersEngine
from alignlab.planning.forecast import CUDA

# Two layers' worth of keys and values in tests/engines/conftest.py: 4 layers, 2 heads of 16.
VALUES = 2 * 4 * 2 * 16


@pytest.fixture
def free(monkeypatch):
    """Make a GPU with so many bytes free."""

    def gpu(size):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int(size), 2**34))

    return gpu


@pytest.fixture
def weights(model_folder):
    """Bytes of the tiny model in bfloat16, counted by loading it."""
    model = AutoModelForCausalLM.from_pretrained(model_folder("llama"))
    return 2 * sum(parameter.numel() for parameter in model.parameters())


def test_the_limit_is_weights_cache_and_cuda(model_folder, free, weights):
    needed = CUDA + weights + 8 * LEAST_TOKENS * VALUES * 2
    free(needed)
    check_gpu_memory(model_folder("llama"), "bfloat16", rows=8)
    free(needed - 1)
    with pytest.raises(AlignlabError, match=r"needs 1\.0 GB on the GPU .* 17\.2 GB are free"):
        check_gpu_memory(model_folder("llama"), "bfloat16", rows=8)


def test_float32_needs_twice_as_much_and_two_gpus_half(model_folder, free, weights):
    free(CUDA + 1.5 * weights)
    with pytest.raises(AlignlabError, match="in float32"):
        check_gpu_memory(model_folder("llama"), "float32", rows=1)
    check_gpu_memory(model_folder("llama"), "float32", rows=1, gpus=2)


def test_the_engine_refuses_before_it_loads(model_folder, free, monkeypatch):
    def load(*_, **__):
        raise AssertionError("it was loaded")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", load)
    free(1000)
    with pytest.raises(AlignlabError, match="take a larger GPU"):
        TransformersEngine(model_folder("llama"), "bfloat16", 8, None)


@pytest.mark.parametrize("kind", ["mamba", "rwkv"])
def test_a_cache_of_unknown_size_counts_as_none(kind):
    assert _values_per_token(AutoConfig.for_model(kind)) == 0


def test_packed_weights_count_as_they_are_stored_and_others_as_they_are_computed(tmp_path):
    packed = {"a": torch.zeros(8, 4, dtype=torch.int32), "b": torch.zeros(3, dtype=torch.int8)}
    packed["c"] = torch.zeros(5, dtype=torch.float8_e4m3fn)
    save_file({**packed, "d": torch.zeros(7)}, tmp_path / "model.safetensors")
    held = 4 * 32 + 3 + 5
    assert weight_bytes(tmp_path, "bfloat16") == held + 2 * 7
    assert weight_bytes(tmp_path, "float32") == held + 4 * 7
