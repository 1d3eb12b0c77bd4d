"""A head for frozen weights, of which only labelled positions have logits, few at a time.

Of a small model with a large vocabulary the head is most of the work. Torch computes its gradient
along with the loss: two products where TRL's own fused head makes three, over prompts and padding
too when there is no GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.nn import LinearCrossEntropyOptions
from torch.nn.functional import linear_cross_entropy

from alignlab.tuning.examples import UNLABELLED

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

# Positions whose logits exist at a time: 128 MB for 262,144 tokens in float32.
ROWS = 128
# Heads that do more than multiply: Gemma 2, Cohere, Granite, Falcon-H1. TRL's head knows them.
SCALINGS = (
    *("final_logit_softcapping", "logit_scale"),
    *("logits_scaling", "lm_head_multiplier", "output_multiplier"),
)


def is_plain(base: PreTrainedModel) -> bool:
    """Whether the head of a model does no more than multiply."""
    config = base.config.get_text_config(decoder=True)
    return all(getattr(config, name, None) is None for name in SCALINGS)


def total_loss(base: PreTrainedModel, inputs: dict[str, Any]) -> Tensor:
    """Summed loss of the labelled tokens, nats.

    Args:
        base: with a plain head, and any update inside its layers.
        inputs: `input_ids`, `attention_mask` and `labels`, [rows, tokens], padded on the right.
    """
    labels = inputs["labels"][:, 1:]
    given = {name: tensor for name, tensor in inputs.items() if name != "labels"}
    hidden = base.base_model(**given, use_cache=False).last_hidden_state[:, :-1]
    counted, head = labels != UNLABELLED, base.get_output_embeddings()
    total: Tensor = linear_cross_entropy(
        hidden[counted],
        head.weight,
        labels[counted],
        linear_bias=head.bias,
        reduction="sum",
        options=LinearCrossEntropyOptions(batch_chunk_size=ROWS, chunking_method=None),
    )
    return total
