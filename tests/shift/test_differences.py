"""Pairs that score the same answers are compared on them."""

import pytest
from synthetic_tokens import answer, write_prompts

from alignlab.core import tables
from alignlab.shift.statistics.summarise import summarise_shift

PROMPTS = {f"q/{number}": ("q", "regular") for number in range(3)}


@pytest.fixture
def compared(tmp_path):
    """Summarise pairs given as name → (aligned arm, rows); rows of `shift_comparisons`."""

    def run(**pairs):
        write_prompts(tmp_path / "prompts.parquet", PROMPTS)
        for name, (_, rows) in pairs.items():
            tables.write("token_shift", tmp_path / f"{name}.parquet", rows, {})
        cards = [
            {"name": name, "template": "own", "aligned": arm} for name, (arm, _) in pairs.items()
        ]
        summarise_shift(
            {"pairs": cards, "seed": 0, "digest": "d"},
            {name: tmp_path / f"{name}.parquet" for name in pairs},
            [tmp_path / "prompts.parquet"],
            tmp_path,
        )
        return tables.read("shift_comparisons", tmp_path / "shift_comparisons.parquet").to_pylist()

    return run


def row(rows, metric):
    (found,) = [r for r in rows if r["metric"] == metric and r["dataset"] == "all"]
    return found


PLAIN = [*answer("q/0", [1, 9, 9]), *answer("q/1", [9, 1]), *answer("q/2", [1, 1, 1])]
PROMPTED = [*answer("q/0", [1, 1, 9]), *answer("q/1", [2, 1]), *answer("q/2", [1, 1, 9])]


def test_a_later_pair_against_the_first(compared):
    rows = compared(plain=("chat", PLAIN), prompted=("chat", PROMPTED))
    shifted = row(rows, "shifted")
    assert (shifted["pair_a"], shifted["pair_b"]) == ("prompted", "plain")
    assert shifted["value"] == pytest.approx((2 - 3) / 8)
    assert (shifted["prompts"], shifted["tokens"]) == (3, 8)
    assert shifted["ci_low"] < shifted["value"] < shifted["ci_high"]
    assert row(rows, "marginal")["value"] == pytest.approx(1 / 8)


def test_the_same_scores_do_not_differ(compared):
    for found in compared(plain=("chat", PLAIN), again=("chat", PLAIN)):
        assert (found["value"], found["ci_low"], found["ci_high"]) == (0, 0, 0)


def test_a_prompt_that_one_pair_could_not_score_is_left_out(compared):
    rows = compared(plain=("chat", PLAIN), prompted=("chat", PROMPTED[:5]))
    assert row(rows, "shifted")["tokens"] == 5
    assert row(rows, "shifted")["value"] == pytest.approx((1 - 3) / 5)


def test_pairs_of_other_answers_are_not_compared(compared):
    assert compared(plain=("chat", PLAIN), other=("tuned", PROMPTED)) == []
