"""Supervised fine-tuning on the completions of a training set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer

from alignlab.tuning.examples import Examples, labelled
from alignlab.tuning.fit import NO_BALANCING, Trained, arguments, fit, open_base, order
from alignlab.tuning.head import is_plain, total_loss
from alignlab.tuning.lora import lora_config


def train(examples: Examples, model: Path, aside: Path) -> Trained:
    """Learn the completions of all rows; arguments are those of `finetune`.

    Raises:
        AlignlabError: an example or a target is wrong (before any step), or the loss diverges.
    """
    spec, rows = examples.spec, labelled(examples)
    lengths = [len(row["input_ids"]) for row in rows]
    chosen = order(lengths, spec.epochs, spec.batch_size, spec.seed)
    steps = -(-len(chosen) // spec.batch_size)
    own = {"max_length": None, "dataset_kwargs": {"skip_prepare_dataset": True}, **NO_BALANCING}
    args = arguments(SFTConfig, spec, steps, aside, **own)
    base = open_base(spec, model, AutoModelForCausalLM)
    update = lora_config(spec, base, "CAUSAL_LM")
    return fit(CompletionTrainer, args, examples, rows, chosen, model=base, peft_config=update)


class CompletionTrainer(SFTTrainer):
    """Completion-only cross-entropy that never holds logits of more than a few positions."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Mean loss of the labelled tokens of an optimizer step, nats."""
        base = model.get_base_model()
        if not is_plain(base):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        return total_loss(base, inputs) / num_items_in_batch
