"""Whether a model fits the GPU, asked before it is loaded.

snakemake --cores 2 --until generate_responses      # ends at once where it does not fit
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig

from alignlab.errors import AlignlabError

# Whether a model fits a GPU; nothing of what it answers.
CHANGES_NO_VALUE = True

GB = 1e9
# CUDA itself and the workspaces of its kernels.
CONTEXT = 1e9
# Tokens of a prompt with its answer: fewer than nearly all have, so what is refused cannot run.
TOKENS = 256


def check_gpu_memory(folder: Path, dtype: str, rows: int, gpus: int = 1) -> None:
    """Compare the least that a model needs with what is free on the current CUDA device.

    Needed on each GPU, in bytes: CUDA's own 1e9, and the weights and the keys and values of `rows`
    short answers, shared out among the GPUs.

    Args:
        folder: a materialised model.
        dtype: what it is to be loaded in, `bfloat16` or `float32`.
        rows: answers that are decoded side by side.
        gpus: GPUs that it is spread over.

    Raises:
        AlignlabError: it does not fit; the message says how much it needs.
    """
    size = getattr(torch, dtype).itemsize
    weights = _parameters(folder) * size
    cache = rows * TOKENS * _values_per_token(AutoConfig.from_pretrained(folder)) * size
    needed = CONTEXT + (weights + cache) / gpus
    free, total = torch.cuda.mem_get_info()
    if needed > free:
        each = f"each of {gpus} GPUs" if gpus > 1 else "the GPU"
        raise AlignlabError(
            f"{folder.name} needs {needed / GB:.1f} GB on {each} (weights in {dtype} "
            f"{weights / GB:.1f} GB, cache of {rows} short answers {cache / GB:.1f} GB), and "
            f"{free / GB:.1f} GB of {total / GB:.1f} GB are free: take a larger GPU, lower "
            "`runtime.batch_size`, or spread the model over several with the vllm engine and `gpus`"
        )


def _parameters(folder: Path) -> int:
    """Numbers in all safetensors files, from their headers."""
    count = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as tensors:
            count += sum(prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
    return count


def _values_per_token(config: Any) -> int:
    """Numbers that a token leaves in the cache: keys and values of every layer."""
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return (
        2 * config.num_hidden_layers * (getattr(config, "num_key_value_heads", 0) or heads) * width
    )
