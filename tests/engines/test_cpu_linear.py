import pytest
import torch
from torch import nn

from alignlab.engines.cpu_linear import SkinnyLinear, turn_linears_round


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (1, 3), (32, 1, 3), (4, 16, 3), (5, 40, 3)])
def test_values_are_those_of_a_plain_linear_layer(bias, shape):
    layer = nn.Linear(3, 7, bias=bias)
    inputs = torch.randn(*shape)
    expected = layer(inputs)
    turn_linears_round(layer)
    assert type(layer) is SkinnyLinear
    torch.testing.assert_close(layer(inputs), expected)
    assert layer(inputs).is_contiguous()


def test_other_precisions_and_subclasses_are_left_alone():
    half = nn.Linear(3, 7).to(torch.bfloat16)
    special = nn.modules.linear.NonDynamicallyQuantizableLinear(3, 7)
    for layer in (half, special):
        before = type(layer)
        turn_linears_round(layer)
        assert type(layer) is before
