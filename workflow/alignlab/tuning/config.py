"""Models that an experiment tunes itself: what `tuned` may say. Keys in `config/README.md`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from alignlab.core.config import Name, StrictModel
from alignlab.planning.versions import Unit
from alignlab.prompting.config import AnyMethod, ChatConfig

# What a config says is in the specs.
CHANGES_NO_VALUE = True


class LoraConfig(StrictModel):
    """The low-rank update that is learnt in place of new weights (LoRA, arXiv 2106.09685 §4.1)."""

    rank: int = Field(16, gt=0, description="Rank of the update of each layer")
    alpha: float = Field(32, gt=0, description="The update is scaled by `alpha / rank`")
    dropout: float = Field(
        0,
        ge=0,
        lt=1,
        description="Share of a layer's inputs left out in `sft`, beside what the base's config "
        "leaves out; other trainers compare a model with itself and leave out nothing. Routed "
        "experts are not tuned with it",
    )
    targets: Literal["all-linear"] | tuple[str, ...] = Field(
        "all-linear",
        description="Names of linear layers, such as `q_proj`, or of routed experts' matrices, "
        "such as `down_proj`; or all of them but the head",
    )


class DpoConfig(StrictModel):
    """Direct preference optimisation against the frozen base model (arXiv 2305.18290 §4)."""

    beta: float = Field(0.1, gt=0, description="How strongly the model is held to its base")


class RewardModelConfig(StrictModel):
    """The base model with a scalar head, learnt from preferences (InstructGPT, 2203.02155 §3.5)."""

    epochs: int = Field(1, gt=0, description="Passes over the preferences")
    batch_size: int = Field(4, gt=0, description="Preferences per optimizer step")
    learning_rate: float = Field(1e-4, gt=0, description="Highest rate; falls linearly to 0")


class RlhfConfig(StrictModel):
    """A reward model, then the policy gradient against it (RLOO, arXiv 2402.14740 §3)."""

    reward: RewardModelConfig = Field(
        RewardModelConfig(), description="The reward model; keys below"
    )
    steps: int = Field(100, gt=0, description="Optimizer steps of the policy")
    generations: int = Field(4, ge=2, description="Answers sampled to every question of a step")
    kl: float = Field(
        0.05, gt=0, description="Reward lost per nat of KL between an answer's policy and the base"
    )
    max_new_tokens: int = Field(128, gt=0, description="Longest sampled answer")
    temperature: float = Field(1.0, gt=0, description="Temperature of the sampled answers")


class Trainer(NamedTuple):
    """How a model can be tuned.

    Attributes:
        unit: its code: a module with a function `train`.
        keys: of the key of `TunedConfig` that is named as the trainer, where there is one.
        preferences: it learns from preferences, else from completions.
        answers: of an adapter's slice, answers to each example that are learnt side by side.
        rewards: it holds a reward model, in float32, beside the one that it tunes.
        sampled: of an adapter's slice, tokens that it has the model write.
    """

    unit: Unit
    keys: type[StrictModel] | None = None
    preferences: bool = True
    answers: Callable[[Mapping[str, Any]], int] = lambda spec: 2
    rewards: bool = False
    sampled: Callable[[Mapping[str, Any]], int] = lambda spec: 0


def _sampled(spec: Mapping[str, Any]) -> int:
    own = spec["rlhf"]
    return own["steps"] * spec["batch_size"] * own["generations"] * own["max_new_tokens"]


TRAINERS = {
    "sft": Trainer(
        Unit("trainer sft", "alignlab.tuning.sft", "train"),
        preferences=False,
        answers=lambda spec: 1,
    ),
    "dpo": Trainer(Unit("trainer dpo", "alignlab.tuning.dpo", "train"), DpoConfig),
    "rlhf": Trainer(
        Unit("trainer rlhf", "alignlab.tuning.rlhf", "train"),
        RlhfConfig,
        answers=lambda spec: spec["rlhf"]["generations"],
        rewards=True,
        sampled=_sampled,
    ),
}
"""Trainer as an experiment names it → what it is like."""
OWN_KEYS = [name for name, trainer in TRAINERS.items() if trainer.keys]


class TunedConfig(StrictModel):
    """A catalog model fine-tuned on a training set. Every key is part of the digest."""

    name: Name = Field(description="Unique; arms name it as their `model`")
    base: str = Field(description="A model of the catalog")
    trainset: str = Field(description="An entry of `trainsets`")
    trainer: Literal[tuple(TRAINERS)] = Field(  # type: ignore[valid-type]
        "sft",
        description="`sft` learns completions; `dpo` and `rlhf` learn from preferences, the "
        "latter through a reward model",
    )
    dpo: DpoConfig | None = Field(
        None, description="Only with trainer `dpo`; its defaults if absent"
    )
    rlhf: RlhfConfig | None = Field(
        None, description="Only with trainer `rlhf`; its defaults if absent"
    )
    method: AnyMethod = Field(
        ChatConfig(kind="chat"),
        description="How questions are asked in tuning; arms should ask the same way",
    )
    chat_template: str | None = Field(
        None,
        description="A file of `config/prompts`, such as `chat/gemma`, for a base without template",
    )
    lora: LoraConfig = Field(LoraConfig(), description="The update that is learnt; keys below")
    epochs: int = Field(1, gt=0, description="Passes over the examples; `rlhf` has `steps` instead")
    batch_size: int = Field(
        4, gt=0, description="Examples per optimizer step; in `rlhf` questions per policy step"
    )
    learning_rate: float = Field(
        5e-4, gt=0, description="Highest rate; falls linearly to 0. Only `sft` has a default"
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of steps in which the rate rises")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm")
    max_length: int = Field(
        1024, gt=0, description="Longest example in tokens; a longer one is refused, never cut"
    )

    @model_validator(mode="before")
    @classmethod
    def _trainer_has_its_keys(cls, given: Any) -> Any:
        """Defaults of the chosen trainer, so that a digest covers them and no other's."""
        trainer = given.get("trainer") if isinstance(given, dict) else None
        return {**given, trainer: given.get(trainer) or {}} if trainer in OWN_KEYS else given

    @model_validator(mode="after")
    def _keys_are_used(self) -> TunedConfig:
        for key in OWN_KEYS:
            if getattr(self, key) is not None and self.trainer != key:
                raise ValueError(f"{key}: trainer {self.trainer} does not use it")
        if self.trainer == "rlhf" and "epochs" in self.model_fields_set:
            raise ValueError("epochs: trainer rlhf takes `rlhf.steps` and `rlhf.reward.epochs`")
        if self.trainer != "sft" and "learning_rate" not in self.model_fields_set:
            raise ValueError(f"learning_rate: trainer {self.trainer} has no default")
        if self.method.kind == "retrieval":
            raise ValueError("method: retrieval would show each question its own answer")
        if self.method.hindsight:
            raise ValueError("method.hindsight: examples bring their markers; only arms name them")
        return self
