"""Refuses a model that does not fit the GPU, before it is loaded."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from alignlab.core.errors import AlignlabError
from alignlab.planning.forecast import BYTES, ModelSize, bytes_per_gpu

# Whether a model fits a GPU; nothing of what it answers.
CHANGES_NO_VALUE = True

GB = 1e9
# Bytes of numbers that stay as they are stored: packed weights.
STORED = {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1}
LEAST_TOKENS = 256
"""Of a prompt with its answer: fewer than nearly all have, so what is refused cannot run."""


def check_gpu_memory(folder: Path, dtype: str, rows: int, gpus: int = 1) -> None:
    """Compare the least that a model needs with what is free on the current CUDA device.

    Args:
        folder: a materialised model.
        dtype: the type that it is loaded in, `bfloat16`, `float16` or `float32`.
        rows: answers, short ones, that are decoded side by side.
        gpus: GPUs that it is spread over.

    Raises:
        AlignlabError: it does not fit; the message says how much it needs.
    """
    import torch
    from transformers import AutoConfig

    values = _values_per_token(AutoConfig.from_pretrained(folder, trust_remote_code=False))
    weights = weight_bytes(folder, dtype)
    cache = ModelSize(0, values, gpus).cache(dtype, rows * LEAST_TOKENS)
    needed = bytes_per_gpu(weights, cache, gpus)
    free, total = torch.cuda.mem_get_info()
    if needed > free:
        each = f"each of {gpus} GPUs" if gpus > 1 else "the GPU"
        raise AlignlabError(
            f"{folder.name} needs {needed / GB:.1f} GB on {each} (weights in {dtype} "
            f"{weights / GB:.1f} GB, cache of {rows} short answers {cache / GB:.1f} GB), and "
            f"{free / GB:.1f} GB of {total / GB:.1f} GB are free: take a larger GPU, lower "
            "`runtime.batch_size`, or spread the model over several with the vllm engine and `gpus`"
        )


def weight_bytes(folder: Path, dtype: str) -> int:
    """Bytes of all tensors once they are loaded, from the headers of the safetensors files.

    Floats become `dtype`; what packed weights are stored as stays.
    """
    from safetensors import safe_open

    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                tensor = tensors.get_slice(name)
                each = STORED.get(tensor.get_dtype(), BYTES[dtype])
                total += each * prod(tensor.get_shape())
    return total


def _values_per_token(config: Any) -> int:
    """Numbers that a token leaves in the cache: keys and values of every layer; 0 if unknown."""
    config = config.get_text_config(decoder=True)
    try:
        heads = config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        kept = getattr(config, "num_key_value_heads", 0) or heads
    except Exception:  # layers with a state; or with sizes of their own, an error of transformers'
        return 0
    return 2 * config.num_hidden_layers * kept * width
