"""Matrices of win rates: seen from both arms, coloured only where significant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_judging import GOOD, POOR, QUALITY, winrates

from alignlab.core import tables
from alignlab.reporting.judges.page import (
    Matrix,
    _duels,
    differs,
    duel,
    read_duels,
    turned,
)

SHARES = st.floats(0, 1)
COUNTS = st.integers(0, 99)


def row(rate=0.7, half=0.1, p=0.01, **changed):
    found = {"arm_a": "a", "arm_b": "b", "n": 20, "wins": 12, "ties": 1, "losses": 4}
    found["clusters"] = 20
    found |= {"inconsistent": 3, "win_rate": rate, "ci_low": rate - half, "ci_high": rate + half}
    found |= {"adjusted": 0.6, "adjusted_low": 0.4, "adjusted_high": 0.75, "consistency": 0.85}
    return found | {"p_value": p, "p_adjusted": p, "coverage": 1.0} | changed


@given(SHARES, COUNTS, COUNTS)
def test_turned_round_twice_a_duel_is_itself_and_wins_are_losses(rate, wins, losses):
    given_row = row(rate, wins=wins, losses=losses)
    other = turned(given_row)
    assert (other["wins"], other["losses"]) == (losses, wins)
    assert other["win_rate"] + rate == pytest.approx(1)
    assert other["ci_low"] <= other["win_rate"] <= other["ci_high"]
    again = turned(other)
    assert again == pytest.approx(given_row)
    assert differs(other) == differs(given_row)


def test_a_duel_says_rate_counts_adjusted_rate_and_consistency():
    found = duel(row())
    assert (found.text, found.range) == ("70%", "[60, 80]")
    assert [line for _, line in found.lines] == [
        "12 won · 1 tied · 4 lost",
        "3 inconsistent",
        "length-controlled 60% [40, 75]",
        "same verdict in both orders: 85%",
    ]
    assert "a against b: 20 prompts, " in found.tip
    assert "a against b: 20 prompts in 5 clusters, " in duel(row(clusters=5)).tip


@pytest.mark.parametrize(
    ("changed", "classes", "style"),
    [
        ({}, "ahead", "--tint: 20%"),
        ({"rate": 0.3}, "behind", "--tint: 20%"),
        ({"half": 0.25}, "", ""),
        ({"p": 0.06}, "", ""),
        ({"ci_low": None}, "", ""),
    ],
)
def test_only_a_rate_that_differs_significantly_from_a_half_is_coloured(changed, classes, style):
    found = duel(row(**changed))
    assert (found.classes, found.style) == (classes, style)


@pytest.mark.parametrize(("doubt", "classes"), [("", ["ahead", "behind"]), ("no AUC", ["", ""])])
def test_no_rate_of_a_judge_that_is_not_qualified_is_coloured(doubt, classes):
    cells = {("a", "b"): duel(row()), ("b", "a"): duel(turned(row()))}
    panel = _duels(Matrix("j", "depth", ["a", "b"], cells), "Depth", doubt)
    (_, (_, ahead)), (_, (behind, _)) = panel.board.rows
    assert [ahead.classes, behind.classes] == classes
    assert bool(ahead.style) == bool(classes[0])


def test_what_could_not_be_fitted_or_compared_is_said_and_never_a_number():
    unfitted = duel(row(adjusted=None, adjusted_low=None, adjusted_high=None, coverage=0.629))
    assert ("detail", "length-controlled: no fit") in unfitted.lines
    assert unfitted.lines[-1] == ("detail", "coverage 62%")
    none = dict.fromkeys(("win_rate", "ci_low", "ci_high", "p_adjusted", "consistency"))
    assert duel(row(**none)).text == "–"


def test_every_judge_and_aspect_has_a_matrix_over_all_datasets(tmp_path):
    rows = winrates(["x", "y", "z"])
    tables.write("winrates", tmp_path / "w", rows, {})
    matrices = read_duels(tmp_path / "w")
    assert [(m.judge, m.aspect) for m in matrices] == [
        (j, a) for j in (GOOD, POOR) for a in QUALITY
    ]
    for matrix in matrices:
        assert matrix.arms == ["x", "y", "z"]
        assert matrix.cells.keys() == {(a, b) for a in "xyz" for b in "xyz" if a != b}
        assert all(cell.text != "99%" for cell in matrix.cells.values())
