"""Supervised fine-tuning on the completions of a training set.

TRL's trainer with a head for frozen weights. Of a small model with a large vocabulary the head is
most of the work. Only labelled positions pass through it here, and torch computes their gradient
along with the loss: two products where TRL's own fused head makes three, over prompts and padding
too when there is no GPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.nn import LinearCrossEntropyOptions
from torch.nn.functional import linear_cross_entropy
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer

from alignlab.tuning.examples import UNLABELLED, Examples, labelled
from alignlab.tuning.fit import Trained, arguments, fit, lora_config, open_base, order

# Positions whose logits exist at a time: 128 MB for 262,144 tokens in float32.
ROWS = 128
# Heads that do more than multiply: Gemma 2, Cohere, Granite, Falcon-H1. TRL's head knows them.
SCALINGS = (
    *("final_logit_softcapping", "logit_scale"),
    *("logits_scaling", "lm_head_multiplier", "output_multiplier"),
)


def train(examples: Examples, model: Path, aside: Path) -> Trained:
    """Learn the completions of all rows; arguments are those of `finetune`.

    Raises:
        AlignlabError: an example or a target is wrong (before any step), or the loss diverges.
    """
    spec, rows = examples.spec, labelled(examples)
    lengths = [len(row["input_ids"]) for row in rows]
    chosen = order(lengths, spec.epochs, spec.batch_size, spec.seed)
    steps = -(-len(chosen) // spec.batch_size)
    own = {"max_length": None, "dataset_kwargs": {"skip_prepare_dataset": True}}
    args = arguments(SFTConfig, spec, steps, aside, **own)
    base = open_base(spec, model, AutoModelForCausalLM)
    update = lora_config(spec, "CAUSAL_LM")
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
        config = base.config.get_text_config(decoder=True)
        if any(getattr(config, name, None) is not None for name in SCALINGS):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs.pop("labels")[:, 1:]
        hidden = base.base_model(**inputs, use_cache=False).last_hidden_state[:, :-1]
        counted, head = labels != UNLABELLED, base.get_output_embeddings()
        total = linear_cross_entropy(
            hidden[counted],
            head.weight,
            labels[counted],
            linear_bias=head.bias,
            reduction="sum",
            options=LinearCrossEntropyOptions(batch_chunk_size=ROWS, chunking_method=None),
        )
        return total / num_items_in_batch
