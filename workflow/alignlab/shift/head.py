"""The last linear map of a language model, from hidden states to float32 logits.

    python benchmarks/token_shift.py

Logits of a few rows at a time: at a vocabulary of 262,144 one row takes a megabyte, so those of a
whole answer, prompt included, are never alive together.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from alignlab.core.errors import AlignlabError
from alignlab.shift.divergence import NOTHING, Shift, compare, joined, padded_width

# Weights made float32 at a time (64 MB); those that are float32 are used in place.
MAX_WEIGHTS = 2**24
# Logits of one model alive at a time: 64 MB.
MAX_LOGITS = 2**24
# How far the model's own logits may lie from ours: its head may round to 16 bits, ours does not.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.01}


class Head:
    """Weight, bias, scale and soft-capping of a causal language model's output layer.

    It keeps the weight alive and nothing else of the model.
    """

    def __init__(self, model: Any) -> None:
        layer = model.get_output_embeddings()
        self.weight: Tensor = layer.weight
        self.bias: Tensor | None = layer.bias
        config = model.config
        self.scale = getattr(config, "logit_scale", None) or 1.0
        self.scale /= getattr(config, "logits_scaling", None) or 1.0
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)

    @property
    def width(self) -> int:
        """Ids it scores: the vocabulary, with the padding some models add."""
        return self.weight.shape[0]

    def logits(self, hidden: Tensor, out: Tensor) -> None:
        """Logits of hidden states [rows, hidden] into float32 `out` [rows, at most width]."""
        states = hidden.to(self.weight.device).float()
        step = max(1, MAX_WEIGHTS // self.weight.shape[1])
        for start in range(0, out.shape[1], step):
            block = slice(start, min(start + step, out.shape[1]))
            torch.mm(states, self.weight[block].float().T, out=out[:, block])
        if self.bias is not None:
            out += self.bias[: out.shape[1]].float()
        if self.scale != 1:
            out *= self.scale
        if self.softcap is not None:
            out.div_(self.softcap).tanh_().mul_(self.softcap)

    def check(self, hidden: Tensor, expected: Tensor, name: str) -> None:
        """Compare with the model's own logits [rows, width] for hidden states [rows, hidden].

        Raises:
            AlignlabError: the model does to its logits what this class does not know of.
        """
        ours = torch.empty(expected.shape, device=expected.device)
        self.logits(hidden, ours)
        scale = expected.float().abs().max().clamp(min=1)
        error = ((ours - expected.float()).abs().max() / scale).item()
        if not error <= TOLERANCE[expected.dtype]:
            raise AlignlabError(
                f"{name}: its logits differ from hidden states × head by {error:.2g}; "
                "token shift cannot score this architecture"
            )


class HeadPair:
    """The heads of two models that share a vocabulary."""

    def __init__(self, base: Head, aligned: Head) -> None:
        self.base, self.aligned = base, aligned
        # What one head has more is padding: both tokenizers agree on all ids below.
        self.width = min(base.width, aligned.width)
        columns = padded_width(self.width)
        shape = (2, max(1, MAX_LOGITS // columns), columns)
        self.logits = torch.full(shape, NOTHING, device=base.weight.device)

    def compare(self, base: Tensor, aligned: Tensor, tokens: Tensor) -> Shift:
        """Compare the models at the same positions, some rows of logits at a time.

        Args:
            base: the base model's hidden states [rows, hidden].
            aligned: the aligned model's; its hidden size may be another.
            tokens: the ids that stand there, [rows].
        """
        parts = []
        for start in range(0, len(tokens), self.logits.shape[1]):
            rows = slice(start, start + self.logits.shape[1])
            ours, theirs = self.logits[:, : len(tokens[rows])]
            self.base.logits(base[rows], ours[:, : self.width])
            self.aligned.logits(aligned[rows], theirs[:, : self.width])
            parts.append(compare(ours, theirs, tokens[rows]))
        return joined(parts)
