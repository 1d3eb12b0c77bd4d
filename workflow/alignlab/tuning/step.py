"""Whether one step of tuning is that of plain transformers and PEFT, per architecture.

A small model of the very config class, in float32, with an update of all that `all-linear` means,
learns two rows. Each alone, by transformers' own logits, gives the loss and the gradients that the
trainers must have of both in one padded batch, by heads that never hold all logits, with layers
computed anew. A policy must also sample from a padded batch as from each row alone, and a reward
model must judge it so. Where one of these differs, tuning would go wrong without a word.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel, get_peft_model
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
)
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.utils import add_fused_lm_head

from alignlab.core.errors import AlignlabError
from alignlab.engines.small import reduced
from alignlab.tuning.config import TRAINERS
from alignlab.tuning.config import LoraConfig as Update
from alignlab.tuning.examples import UNLABELLED, Ids
from alignlab.tuning.head import is_plain, total_loss
from alignlab.tuning.lora import update_of

# Relative to the greatest gradient, logit or score, in float32.
TOLERANCE = 1e-3
PADDING = 0
Targets = Literal["all-linear"] | tuple[str, ...]


def _row(asked: list[int], answer: list[int]) -> Ids:
    return {"input_ids": asked + answer, "labels": [UNLABELLED] * len(asked) + answer}


# The second is longer than the window of a small model.
ROWS = (
    _row([5, 9, 33, 17], [60, 21, 44, 8, 29, 50, 13]),
    _row([30, 6, 25, 58, 11, 47, 19], [36, 3, 22, 61, 15, 28, 42, 7, 40, 12]),
)


def require_tunable(name: str, folder: Path, trainer: str, targets: Targets) -> None:
    """Refuse a materialised model that a trainer would not tune as plain PEFT does.

    Args:
        name: of the model that is to be tuned.
        folder: of its base.
        trainer: by its name.
        targets: as `lora.targets`.

    Raises:
        AlignlabError: the architecture is one of these.
    """
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if reason := examine(config, targets)[trainer]:
        raise AlignlabError(
            f"{name}: architecture {config.model_type} cannot be tuned by trainer {trainer}: "
            f"{reason}; take a base of another architecture"
        )


def examine(config: Any, targets: Targets = "all-linear") -> dict[str, str]:
    """Why each trainer cannot tune models of a config; empty where its steps are right."""
    content = json.dumps(config.to_dict(), sort_keys=True)
    return _examined(config.from_dict, content, targets)


@cache
def _examined(made: Callable[[Any], Any], content: str, targets: Targets) -> dict[str, str]:
    try:
        small = without_dropout(reduced(made(json.loads(content))))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            tuned = _tuned(small, targets)
            reasons = _wrong_steps(tuned)
    except Exception as error:  # any class of transformers, with any config
        return dict.fromkeys(TRAINERS, f"a small one cannot be tuned: {_short(error)}")
    try:
        reason = reasons["dpo"] or _wrong_sampling(tuned) or _wrong_scores(small)
    except Exception as error:
        reason = f"a small one cannot sample or score: {_short(error)}"
    # A further trainer takes the log-probabilities of the one whose kind it is.
    return {
        name: reason if kind.rewards else reasons["dpo" if kind.preferences else "sft"]
        for name, kind in TRAINERS.items()
    }


def _tuned(small: Any, targets: Targets) -> PeftModel:
    """A model with an update that changes every layer."""
    model = _scattered(AutoModelForCausalLM.from_config(small, dtype=torch.float32))
    update = Update(rank=2, alpha=4, targets=targets)
    tuned = get_peft_model(model, update_of(update, model, "CAUSAL_LM"))
    if model.supports_gradient_checkpointing:
        tuned.enable_input_require_grads()
    return _scattered(tuned, lambda parameter: parameter.requires_grad).train()


@torch.no_grad()
def _scattered(model: Any, chosen: Callable[[Tensor], bool] = lambda parameter: True) -> Any:
    """Weights large enough that what a token sees changes its logits."""
    for parameter in filter(chosen, model.parameters()):
        spread = torch.randn_like(parameter) * 0.2
        parameter.copy_(spread if parameter.dim() > 1 else parameter + spread)
    return model


def _wrong_steps(tuned: PeftModel) -> dict[str, str]:
    base = tuned.get_base_model()
    expected = _gradients(tuned, _plain_loss(tuned))
    add_fused_lm_head(base)
    if base.supports_gradient_checkpointing:
        base.gradient_checkpointing_enable()
    by_trl = _gradients(tuned, _trl_loss(tuned))
    ours = _gradients(tuned, total_loss(base, _batch())) if is_plain(base) else by_trl
    if base.supports_gradient_checkpointing:
        base.gradient_checkpointing_disable()
    return {"sft": _difference(ours, expected), "dpo": _difference(by_trl, expected)}


def _difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> str:
    """Losses must be equal, and every gradient; nothing may be reached by one step alone."""
    if not _near(found["loss"], expected["loss"]):
        return "its loss differs in a padded batch, or by its head"
    greatest = max(gradient.abs().max() for gradient in expected.values())
    same = found.keys() == expected.keys() and all(
        (found[name] - expected[name]).abs().max() <= TOLERANCE * greatest for name in expected
    )
    return "" if same else "its gradients differ in a padded batch"


def _plain_loss(tuned: PeftModel) -> Tensor:
    """Summed over rows that run alone, from all logits, nats."""
    losses = []
    for row in ROWS:
        logits = tuned(input_ids=torch.tensor([row["input_ids"]]), use_cache=False).logits[0, :-1]
        labels = torch.tensor(row["labels"][1:])
        losses.append(cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="sum"))
    return torch.stack(losses).sum()


def _trl_loss(tuned: PeftModel) -> Tensor:
    """The same of a padded batch, by the head that TRL gives a model."""
    log_probs: Tensor = tuned(**_batch(), fused_lm_head=True).log_probs
    return -log_probs.sum()


def _batch() -> dict[str, Tensor]:
    collate = DataCollatorForLanguageModeling(pad_token_id=PADDING)
    return dict(collate([dict(row) for row in ROWS]))


def _gradients(tuned: PeftModel, loss: Tensor) -> dict[str, Tensor]:
    """Of the update, and the loss itself."""
    loss.backward()  # type: ignore[no-untyped-call]
    found = {n: p.grad for n, p in tuned.named_parameters() if p.grad is not None}
    tuned.zero_grad(set_to_none=True)
    return {**found, "loss": loss.detach()}


@torch.no_grad()
def _wrong_sampling(tuned: PeftModel) -> str:
    """A policy samples answers to questions of several lengths at once."""
    tuned.eval()
    asked = [row["input_ids"] for row in ROWS]
    width = max(map(len, asked))
    padded = [[PADDING] * (width - len(ids)) + ids for ids in asked]
    mask = [[0] * (width - len(ids)) + [1] * len(ids) for ids in asked]
    together = _sampled(tuned, padded, mask)
    alone = torch.cat([_sampled(tuned, [ids], [[1] * len(ids)]) for ids in asked], dim=1)
    return "" if _near(together, alone) else "it samples other answers from a padded batch"


def _sampled(tuned: PeftModel, rows: list[list[int]], mask: list[list[int]]) -> Tensor:
    """Logits of the two tokens after each row, [2, rows, vocab]."""
    found: Any = tuned.generate(
        input_ids=torch.tensor(rows),
        attention_mask=torch.tensor(mask),
        max_new_tokens=2,
        do_sample=False,
        pad_token_id=PADDING,
        eos_token_id=None,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return torch.stack(found.logits)


@torch.no_grad()
def _wrong_scores(small: Any) -> str:
    """A reward model scores answers of several lengths at once, where they end."""
    if type(small) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        return "transformers has no reward model of it"
    small.num_labels, small.get_text_config(decoder=True).pad_token_id = 1, PADDING
    judge = AutoModelForSequenceClassification.from_config(small, dtype=torch.float32)
    judge = _scattered(judge).eval()
    batch = _batch()
    together = judge(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    alone = [judge(input_ids=torch.tensor([row["input_ids"]])).logits for row in ROWS]
    same = _near(together, torch.cat(alone))
    return "" if same else "as a reward model it scores a padded batch otherwise"


def _near(found: Tensor, expected: Tensor) -> bool:
    scale = expected.abs().max().clamp(min=1)
    return bool(((found - expected).abs().max() / scale) <= TOLERANCE)


def without_dropout(config: Any) -> Any:
    """A config whose model leaves out nothing, and adds no noise before routers.

    TRL switches off only dropout that has a layer of its own.
    """
    for part in (config, config.get_text_config(decoder=True)):
        for key, value in vars(part).items():
            if ("drop" in key or "jitter" in key) and type(value) in (int, float):
                setattr(part, key, 0.0)
    return config


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:160]}"
