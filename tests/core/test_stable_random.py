"""Stable random draws choose prompts and seed answers: they may never change."""

import pytest

from alignlab.core.stable_random import lot


@pytest.mark.parametrize(
    ("origin", "number"),
    [
        ((0, "draw", "mt-bench/1"), 18217607967399349935),
        ((7, "draw", "a/b"), 9711317526773728761),
        ((3, "arm", "mt-bench/1", 0, 2), 18093043912780322951),
        ((0, "demo/ü"), 9853344647314301610),
    ],
)
def test_a_lot_is_the_same_for_ever(origin, number):
    assert lot(*origin) == number


def test_lots_depend_on_everything_they_are_drawn_for():
    assert len({lot(seed, name, at) for seed in (0, 1) for name in "ab" for at in (0, 1)}) == 8
