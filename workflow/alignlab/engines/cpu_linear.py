"""Linear layers for decoding on a CPU: few rows at a time, so the product is turned round.

    python benchmarks/prefix_cache.py

One new token for each of 32 rows makes a product of 32 rows by a wide weight. MKL spreads the rows
of its left side over threads, and 32 are too few; with the weight on the left the same product took
half the time on two threads (float32: 155 ms against 310 ms for a 262,144-token head). On one
thread there is nothing to gain.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ROWS = 64


class SkinnyLinear(nn.Linear):
    """`nn.Linear` with the same weights, for inputs of few rows."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Map [..., in_features] to [..., out_features]."""
        rows = input.reshape(-1, self.in_features)
        if len(rows) > ROWS:
            return super().forward(input)
        output = (self.weight @ rows.T).T.contiguous()
        if self.bias is not None:
            output += self.bias
        return output.view(*input.shape[:-1], self.out_features)


def turn_linears_round(model: nn.Module) -> None:
    """Let every plain linear layer of a float32 model on a CPU decode faster; values stay."""
    for module in model.modules():
        plain = type(module) is nn.Linear
        if plain and module.weight.dtype == torch.float32 and module.weight.device.type == "cpu":
            module.__class__ = SkinnyLinear
