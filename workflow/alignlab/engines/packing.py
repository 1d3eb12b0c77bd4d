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

import torch

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
    if not (given := _said(config)):
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
        AlignlabError: vLLM failed, and the weights are packed; or it would compute something else.
    """
    config = _config(folder)
    method = packing(config)
    if method and not torch.cuda.device_count() and whole_numbers(config) and saturates():
        raise AlignlabError(
            f"{folder}: the weights are packed ({method}) for activations of 8-bit integers, "
            "whose products this CPU, without VNNI, cuts at 16 bits; take another CPU or a GPU, or "
            f"{PLAIN}"
        )
    try:
        yield
    except AlignlabError:
        raise
    except Exception as error:
        if not method:
            raise
        said = " ".join(str(error).split())[:300]
        raise AlignlabError(
            f"{folder}: the weights are packed ({method}), and vLLM cannot run them in {dtype} on "
            f"this machine ({said}); another `engine.dtype`, or a GPU that vLLM's documentation "
            f"lists for {method}, may run them, else {PLAIN}"
        ) from error


def require_unpacked(folder: Path) -> None:
    """Refuse to run packed weights with transformers.

    Raises:
        AlignlabError: they are packed.
    """
    if method := packing(_config(folder)):
        raise AlignlabError(
            f"{folder}: the weights are packed ({method}), and only vLLM answers with them; for "
            f"token shift, tuning, judges and checks of vLLM {PLAIN}"
        )


def whole_numbers(config: Mapping[str, Any]) -> bool:
    """Whether activations are quantised to integers, as compressed-tensors or Quark say it."""
    said = _said(config)
    groups = [*_each(said.get("config_groups")), *_each([said.get("global_quant_config")])]
    given = (g.get("input_activations") or g.get("input_tensors") for g in groups)
    inputs = (one for i in given for one in _each(i if isinstance(i, list) else [i]))
    return any(str(i.get("type") or i.get("dtype")).startswith("int") for i in inputs)


def _said(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What config.json says of quantisation; nothing for plain weights.

    Raises:
        AlignlabError: it is no object.
    """
    parts = (config, config.get("text_config") or {})
    said = [p.get(key) for p in parts for key in ("quantization_config", "compression_config")]
    given: Any = next(filter(None, said), {})
    if not isinstance(given, Mapping):
        raise AlignlabError("config.json: quantization_config: expected an object")
    return given


def _each(parts: Any) -> list[Mapping[str, Any]]:
    """The objects of a list, or of a map's values."""
    found = parts.values() if isinstance(parts, Mapping) else parts or ()
    return [part for part in found if isinstance(part, Mapping)]


def saturates() -> bool:
    """Whether this CPU adds products of bytes in 16 bits, which 2 × 127 × 255 overflows.

    oneDNN's guide "Nuances of int8 Computations": x86 without VNNI. Measured on such a CPU: 0.2
    nats a token between vLLM and the same arithmetic in float32, 0.02 with weights of 7 bits.
    """
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return "avx2" in flags and "vnni" not in flags


def _config(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return content
