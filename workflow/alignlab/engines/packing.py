"""Quantised weights: what config.json says of them, and which engine unpacks them.

vLLM reads the formats of `READ`; whether it has kernels for one depends on the machine. For
transformers each needs a package of its own, none of which is part of this environment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alignlab.core.errors import AlignlabError

# Whether a model is run; nothing of what it answers.
CHANGES_NO_VALUE = True

READ = frozenset(
    {
        *("awq", "gptq", "compressed-tensors", "fp8", "mxfp4", "mxfp8", "modelopt", "quark"),
        *("torchao", "auto-round", "inc"),
    }
)
"""Values of `quant_method` that vLLM of envs/vllm.lock takes from a checkpoint."""
PLAIN = "convert the model to bfloat16 safetensors, or take its GGUF file"


def packing(config: Mapping[str, Any]) -> str:
    """How the weights of a model are quantised, empty for plain ones.

    Args:
        config: content of its config.json.

    Raises:
        AlignlabError: they are, and no method is named.
    """
    parts = (config, config.get("text_config") or {})
    said = [p.get(key) for p in parts for key in ("quantization_config", "compression_config")]
    given = next(filter(None, said), None)
    if given is None:
        return ""
    method = given.get("quant_method")
    if not isinstance(method, str) or not method:
        raise AlignlabError(
            "config.json: quantization_config has no `quant_method`, which says how the weights "
            "are unpacked; take config.json from where the weights come"
        )
    return method


@contextmanager
def unpacking(folder: Path, dtype: str) -> Iterator[None]:
    """Name packed weights that vLLM cannot run on this machine: its errors are of any class.

    Raises:
        AlignlabError: vLLM failed, and the weights are packed.
    """
    method = _of(folder)
    try:
        yield
    except Exception as error:
        if not method:
            raise
        said = " ".join(str(error).split())[:300]
        raise AlignlabError(
            f"{folder}: the weights are packed ({method}), and vLLM cannot run them in {dtype} on "
            f"this machine ({said}); take a GPU that has them in vLLM's table of supported "
            f"hardware, or {PLAIN}"
        ) from error


def require_unpacked(folder: Path) -> None:
    """Refuse to run packed weights with transformers.

    Raises:
        AlignlabError: they are packed.
    """
    if method := _of(folder):
        raise AlignlabError(
            f"{folder}: the weights are packed ({method}), and only vLLM answers with them; for "
            f"token shift, tuning, judges and checks of vLLM {PLAIN}"
        )


def _of(folder: Path) -> str:
    return packing(json.loads((folder / "config.json").read_text(encoding="utf-8")))
