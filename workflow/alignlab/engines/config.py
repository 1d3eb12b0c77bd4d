"""How answers are decoded, and which engine runs the models: `decoding` and `engine`.

Keys are documented in `config/README.md`.
"""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field, model_validator

from alignlab.core.config import StrictModel
from alignlab.core.errors import AlignlabError
from alignlab.planning.versions import Unit

# What a config says is in the specs.
CHANGES_NO_VALUE = True

VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM has kernels for; an adapter may have any rank up to the one chosen."""
CPU_CACHE = "VLLM_CPU_KVCACHE_SPACE"
"""Variable that says how many GiB vLLM's cache has where there is no GPU."""
CPU_CACHE_GIB = "2"
"""What it is here by default: vLLM's own default is nearly all memory of the machine."""


class DecodingConfig(StrictModel):
    """How answers are decoded. Greedy unless `temperature` is above zero."""

    max_new_tokens: int = Field(256, gt=0, le=32768, description="Longest answer, in tokens")
    temperature: float = Field(0.0, ge=0, le=5, description="0 is greedy decoding")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Nucleus sampling, where temperature is above 0"
    )
    repetition_penalty: float = Field(1.0, ge=1, le=5, description="1 is none (Keskar et al. 2019)")
    penalize_prompt: bool = Field(
        False, description="Count prompt tokens in the repetition penalty, as HF and vLLM do"
    )
    samples: int = Field(1, ge=1, le=100, description="Answers per prompt; needs temperature > 0")

    @model_validator(mode="after")
    def _samples_need_temperature(self) -> DecodingConfig:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("`samples` above 1 needs `temperature` above 0: greedy repeats itself")
        return self


class EngineConfig(StrictModel):
    """What runs the models. Both keys are semantic: other kernels and dtypes give other numbers."""

    name: Literal["transformers", "vllm", "fake"] = Field(
        "transformers",
        description="`vllm` needs `make vllm`; `fake` answers without weights, for tests",
    )
    dtype: Literal["bfloat16", "float16", "float32"] = Field(
        "bfloat16",
        description="On CPUs without bfloat16 instructions float32 is faster",
    )


class Computing(StrictModel):
    """What a slice says of a job that runs its models with transformers, whatever answers arms."""

    dtype: Literal["bfloat16", "float16", "float32"]


def engine_unit(name: str) -> Unit:
    """The code of an engine: a module with a function `load`, or the client of an endpoint."""
    if name == "openai":
        return Unit("engine openai", "alignlab.endpoints.respondent", "respondent")
    environment = ".venv-vllm" if name == "vllm" else ""
    return Unit(
        f"engine {name}", f"alignlab.engines.{name}_engine", "load", environment=environment
    )


def vllm_cache_bytes() -> int:
    """Bytes of vLLM's cache where there is no GPU.

    Raises:
        AlignlabError: the environment says something that is no size.
    """
    said = os.environ.get(CPU_CACHE, CPU_CACHE_GIB)
    if not said.isdecimal() or not int(said):
        raise AlignlabError(f"{CPU_CACHE}={said}: expected a whole number of GiB, 1 or more")
    return int(said) * 2**30
