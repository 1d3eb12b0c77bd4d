"""Models that an experiment tunes itself: what `tuned` may say. Keys in `config/README.md`.

snakemake --cores 2 --until tune_model
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from alignlab.experiment.methods import AnyMethod, Chat
from alignlab.experiment.strict import Name, Strict


class Lora(Strict):
    """The low-rank update that is learnt in place of new weights (LoRA, arXiv 2106.09685 §4.1)."""

    rank: int = Field(16, gt=0, description="Rank of the update of each layer")
    alpha: float = Field(32, gt=0, description="The update is scaled by `alpha / rank`")
    dropout: float = Field(0, ge=0, lt=1, description="Share of a layer's inputs left out")
    targets: Literal["all-linear"] | tuple[str, ...] = Field(
        "all-linear",
        description="Names of linear layers, such as `q_proj`, or all of them but the head",
    )


class Tuned(Strict):
    """A catalog model fine-tuned on question-answer pairs. Every key is part of the digest."""

    name: Name = Field(description="Unique; arms name it as their `model`")
    base: str = Field(description="A model of the catalog")
    examples: str = Field(description="A file of `config/prompts` with question-answer pairs")
    take: int | None = Field(
        None, gt=0, description="Use this many pairs, drawn with the experiment's seed; else all"
    )
    method: AnyMethod = Field(
        Chat(kind="chat"), description="How questions are asked in tuning; arms should ask alike"
    )
    chat_template: str | None = Field(
        None,
        description="A file of `config/prompts`, such as `chat/gemma`, for a base without template",
    )
    lora: Lora = Field(Lora(), description="The update that is learnt; keys below")
    epochs: int = Field(1, gt=0, description="Passes over the pairs")
    batch_size: int = Field(4, gt=0, description="Pairs per optimizer step")
    learning_rate: float = Field(5e-4, gt=0, description="Highest rate; falls linearly to 0")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of steps in which the rate rises")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm")
    max_length: int = Field(
        1024, gt=0, description="Longest pair in tokens; a longer one is refused, never cut"
    )

    @model_validator(mode="after")
    def _does_not_retrieve(self) -> Tuned:
        if self.method.kind == "retrieval":
            raise ValueError("method: retrieval would show each question its own answer")
        return self
