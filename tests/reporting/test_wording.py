"""Numbers as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.reporting import board

NUMBERS = st.floats(-1e6, 1e6)


@given(NUMBERS, st.integers(0, 4))
def test_a_number_reads_back_as_itself_rounded(value, places):
    read = float(board.number(value, places).replace(board.MINUS, "-"))
    assert abs(read - value) <= 0.5 * 10**-places + 1e-9
    assert math.copysign(1, read) == 1 or read < 0  # never "−0"


@given(NUMBERS, st.integers(0, 4))
def test_a_difference_shows_its_sign_unless_it_rounds_to_nothing(value, places):
    text = board.signed(value, places)
    nothing = round(value, places) == 0
    assert text.startswith(("+", board.MINUS)) is not nothing


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "p undefined"), (0.0004, "p < .001"), (0.0312, "p = .031"), (0.9999, "p = 1")],
)
def test_p_values(value, text):
    assert board.p_value(value).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("counts", "text"), [([36, 36], "n = 36"), ([1200, 24, 36], "n = 24–1,200"), ([0], "n = 0")]
)
def test_sizes_are_the_smallest_and_the_largest(counts, text):
    assert board.sizes(counts).replace("\u00a0", " ") == text


def test_an_interval_shows_both_ends_alike_or_nothing():
    assert board.interval(-0.1, 0.25, 2) == "[\u22120.10,\u00a00.25]"
    assert board.interval(-0.1, 0.25, 2, board.signed) == "[\u22120.10,\u00a0+0.25]"
    assert board.interval(None, 0.25, 2) == board.interval(0.1, None, 2) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.2, "8.2 s"), (59.99, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations(seconds, text):
    assert board.duration(seconds) == text


def test_settings_leave_out_the_kind_and_what_is_not_set():
    method = {"kind": "icl", "prompt": "icl/basic.yaml", "k": 3, "guidance": None, "system": True}
    assert board.settings(method) == "prompt icl/basic.yaml, k 3, system yes"
