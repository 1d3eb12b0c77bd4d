"""What an adapter is made by: the slice of its stage, typed.

snakemake --cores 2 --until tune_model
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from alignlab.engines.config import Computing
from alignlab.planning.job import Spec
from alignlab.tuning.config import TRAINERS, DpoConfig, LoraConfig, RlhfConfig


class AdapterSpec(Spec):
    """How a model is tuned: the keys of `TunedConfig`, with method and chat template resolved.

    Attributes:
        method: as `prompt_files.resolved_method` gives it.
        chat_template: Jinja text that replaces the tokenizer's.
        engine: how the base's weights are held.
        seed: of the order of rows, dropout, new weights and sampled answers.
    """

    name: str
    base: str
    trainset: str
    trainer: Literal[tuple(TRAINERS)]  # type: ignore[valid-type]
    dpo: DpoConfig | None = None
    rlhf: RlhfConfig | None = None
    method: dict[str, Any]
    chat_template: str | None = None
    lora: LoraConfig
    epochs: int
    batch_size: int
    learning_rate: float
    warmup: float
    max_grad_norm: float
    max_length: int
    engine: Computing
    seed: int

    @model_validator(mode="after")
    def _trainer_has_its_keys(self) -> AdapterSpec:
        if TRAINERS[self.trainer].keys and getattr(self, self.trainer) is None:
            raise ValueError(f"{self.trainer}: trainer {self.trainer} needs it")
        return self
