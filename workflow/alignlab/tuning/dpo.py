"""Direct preference optimisation (arXiv 2305.18290) on the preferences of a training set.

The reference is the frozen base: the same model with its adapter switched off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer

from alignlab.tuning.examples import Examples, check_batch, preferences
from alignlab.tuning.fit import (
    NO_BALANCING,
    SEVERAL_ANSWERS,
    Trained,
    arguments,
    fit,
    open_base,
    order,
)
from alignlab.tuning.lora import lora_config


def train(examples: Examples, model: Path, aside: Path) -> Trained:
    """Learn to prefer the chosen answers; arguments are those of `finetune`.

    Raises:
        AlignlabError: a row or a target is wrong (before any step), or the loss diverges.
    """
    spec, rows = examples.spec, preferences(examples)
    assert spec.dpo is not None
    check_batch(spec, len(rows), "preferences")
    lengths = [sum(map(len, row.values())) for row in rows]
    chosen = order(lengths, spec.epochs, spec.batch_size, spec.seed)
    steps = -(-len(chosen) // spec.batch_size)
    own = {"max_length": None, "beta": spec.dpo.beta, **SEVERAL_ANSWERS, **NO_BALANCING}
    args = arguments(DPOConfig, spec, steps, aside, **own)
    base = open_base(spec, model, AutoModelForCausalLM)
    update = lora_config(spec, base, "CAUSAL_LM")
    return fit(TokenisedTrainer, args, examples, rows, chosen, model=base, peft_config=update)


class TokenisedTrainer(DPOTrainer):
    """TRL's trainer for rows that are token ids already; its own would tokenise texts."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset
