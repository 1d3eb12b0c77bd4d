"""Win rates: counts by hand, swapped arms, ties, clusters, and what length alone can do."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging_tables import preference, prompt, qualification_spec, write
from scipy.stats import binom

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.schemas import COLUMNS
from alignlab.judging.qualification import QualificationJob
from alignlab.judging.winrates import (
    POINTS,
    adjusted_rate,
    duel_row,
    relative_length,
    unfitted,
    winrates,
)
from alignlab.statistics import paired

SWAPPED = {"a": "b", "b": "a"}
QUICK = settings(max_examples=40, deadline=None)


@pytest.fixture
def rows(tmp_path):
    """Win rates of tables of preferences about prompts q/0 … q/79, half of a second dataset."""

    def run(*preferences, turns=1, datasets=("q",), floor=0.0):
        names = [f"q/{i}" for i in range(80)]
        prompts = [
            prompt(n, dataset=datasets[i % len(datasets)], turns=turns) for i, n in enumerate(names)
        ]
        asked = [write("prompts", tmp_path / "p.parquet", prompts)]
        paths = [
            write("preferences", tmp_path / f"{i}.parquet", rows)
            for i, rows in enumerate(preferences)
        ]
        judges = {row["judge"] for rows in preferences for row in rows}
        job = QualificationJob(
            spec=qualification_spec(min_coverage=dict.fromkeys(judges, floor)),
            controls={},
            judgements={},
            preferences={"j": paths},
            responses={},
            prompts=asked,
            output=tmp_path,
        )
        winrates(job)
        assert (tmp_path / "winrates.csv").exists()
        return list(tables.rows("winrates", tmp_path / "winrates.parquet"))

    return run


def duel(outcomes, **more):
    return [preference(f"q/{i}", outcome, **more) for i, outcome in enumerate(outcomes)]


def by_length(prompts, slope, seed):
    """Outcomes that only the lengths decide, ours longer."""
    dice = np.random.default_rng(seed)
    words = dice.lognormal([4.8, 4.4], 0.4, (prompts, 2)).astype(int)
    ratios = np.log1p(words[:, 0]) - np.log1p(words[:, 1])
    wins = dice.random(prompts) < 1 / (1 + np.exp(-slope * ratios))
    pairs = zip(np.where(wins, "a", "b").tolist(), words.tolist(), strict=True)
    return [preference(f"q/{i}", outcome, words=pair) for i, (outcome, pair) in enumerate(pairs)]


def row_of(turns):
    frame = pd.DataFrame(turns)
    clusters = pd.factorize(frame["prompt_id"])[0]
    frame = frame.assign(points=frame["outcome"].map(POINTS), cluster=clusters)
    return duel_row(frame, "a duel")


def test_counts_and_rates_by_hand(rows):
    outcomes = ["a"] * 5 + ["b"] * 2 + ["tie"] * 2 + ["inconsistent"] + [None] * 2
    (row,) = rows(duel(outcomes))
    assert row.keys() == COLUMNS["winrates"].keys()
    assert [row[key] for key in ("wins", "losses", "ties", "inconsistent", "n")] == [5, 2, 2, 1, 10]
    assert row["win_rate"] == pytest.approx(0.65)
    assert row["consistency"] == pytest.approx(0.9)
    assert row["coverage"] == pytest.approx(10 / 12)
    mid_p = 2 * binom.cdf(2, 7, 0.5) - binom.pmf(2, 7, 0.5)
    assert row["p_value"] == row["p_adjusted"] == pytest.approx(mid_p)
    assert 0.3 < row["ci_low"] < 0.65 < row["ci_high"] < 0.9
    assert row["adjusted"] is None


def test_a_win_rate_of_too_few_outcomes_is_refused_and_counted(rows):
    outcomes = ["a"] * 5 + [None] * 5
    (shown,), (refused,) = (rows(duel(outcomes), floor=floor) for floor in (0.5, 0.6))
    assert (shown["win_rate"], shown["wins"]) == (1, 5)
    assert (refused["win_rate"], refused["p_value"], refused["p_adjusted"]) == (None, None, None)
    assert (refused["wins"], refused["coverage"]) == (5, 0.5)


@QUICK
@given(st.lists(st.sampled_from(["a", "b", "tie", "inconsistent", None]), min_size=1, max_size=40))
def test_swapped_arms_mirror(outcomes):
    swapped = [SWAPPED.get(outcome, outcome) for outcome in outcomes]
    row, back = (row_of(duel(each)) for each in (outcomes, swapped))
    assert (back["wins"], back["losses"]) == (row["losses"], row["wins"])
    assert back["p_value"] == row["p_value"]
    if row["n"]:
        assert back["win_rate"] == pytest.approx(1 - row["win_rate"])
    if row["ci_low"] is not None:
        assert back["ci_low"] == pytest.approx(1 - row["ci_high"], abs=1e-9)
        assert row["ci_low"] <= row["win_rate"] + 1e-9 <= row["ci_high"] + 2e-9


def test_turns_of_a_prompt_are_one_case(rows):
    first = duel(["a", "b"] * 20 + ["a"] * 20)
    twice = first + [row | {"turn": 1} for row in first]
    once, doubled = rows(first)[0], rows(twice, turns=2)[0]
    for key in ("n", "win_rate", "ci_low", "ci_high", "p_value", "consistency"):
        assert doubled[key] == pytest.approx(once[key])
    assert doubled["wins"] == 2 * once["wins"]


def test_an_arm_against_itself_is_not_a_duel_and_datasets_are_slices(rows):
    itself = duel(["tie"] * 20, arm_a="a", arm_b="a")
    assert rows(itself) == []
    found = rows(itself, duel(["a", "b"] * 20), datasets=("even", "odd"))
    assert {row["dataset"]: row["win_rate"] for row in found} == {"all": 0.5, "even": 1, "odd": 0}
    assert rows() == []


def test_holm_s_family_is_the_duels_of_one_judge_s_aspect_and_dataset(rows):
    first = duel(["a"] * 9 + ["b"])
    second = duel(["a"] * 12 + ["b"] * 3, arm_b="c")
    other = duel(["a"] * 9 + ["b"], aspect="depth")
    found = rows(first, second + other)
    family = [row for row in found if row["aspect"] == "overall"]
    raw = np.array([row["p_value"] for row in family])
    assert [row["p_adjusted"] for row in family] == pytest.approx(paired.holm(raw))
    (alone,) = [row for row in found if row["aspect"] == "depth"]
    assert alone["p_adjusted"] == alone["p_value"] < family[0]["p_adjusted"]


def test_where_only_length_decides_the_raw_rate_is_off_and_the_adjusted_one_even():
    found = [row_of(by_length(80, slope=3, seed=seed)) for seed in range(40)]
    assert np.mean([row["win_rate"] for row in found]) > 0.65
    assert np.mean([row["ci_low"] > 0.5 for row in found]) > 0.6
    assert np.mean([row["adjusted"] for row in found]) == pytest.approx(0.5, abs=0.05)
    held = [row["adjusted_low"] <= 0.5 <= row["adjusted_high"] for row in found]
    assert sum(held) >= 35  # 38 of 40 expected


def test_where_length_decides_nothing_adjusting_changes_little():
    turns = [row | {"outcome": "ab"[i % 4 == 0]} for i, row in enumerate(by_length(80, 0, 1))]
    row = row_of(turns)
    assert row["adjusted"] == pytest.approx(row["win_rate"], abs=0.06)
    assert row["adjusted_low"] < row["adjusted"] < row["adjusted_high"] < 0.95


def test_a_tie_is_half_a_win_and_half_a_loss_in_the_fit():
    won = by_length(80, slope=0, seed=1)
    row = row_of([row | {"outcome": "tie"} if i % 2 else row for i, row in enumerate(won)])
    assert abs(row["adjusted"] - 0.5) < 0.1
    assert row["adjusted_high"] - row["adjusted_low"] < 0.25


OUTSIDE = "equal length lies outside the data: arm_a's answer is {}, or as long, on {} prompts only"


@pytest.mark.parametrize(
    ("points", "words", "reason"),
    [
        ([1, 0, 0.5] * 4, range(44, 56), "8 decided prompts, fewer than 10"),
        ([1, 0] * 6, [60] * 12, "all pairs differ in length alike"),
        ([1, 0] * 6, range(51, 63), OUTSIDE.format("shorter", "0 of 12")),
        ([1, 0] * 6, range(34, 46), OUTSIDE.format("longer", "0 of 12")),
        ([1, 0] * 40, [*range(43, 50), *range(51, 124)], OUTSIDE.format("shorter", "7 of 80")),
        ([1, 0] * 40, [*range(42, 50), *range(51, 123)], ""),
        ([1] * 12, range(44, 56), ""),
        ([0] * 6 + [1] * 6, range(44, 56), ""),
        ([1] * 6 + [0] * 6, range(44, 56), ""),
    ],
)
def test_where_equal_length_lies_outside_the_data_none_is_given(points, words, reason):
    ratios = np.log(np.array([*words]) / 50)
    points, prompts = np.array(points, float), np.arange(len(points))
    assert unfitted(points, relative_length(ratios), prompts) == reason
    assert unfitted(points, relative_length(ratios), prompts // 12).endswith("fewer than 10")


def test_prompts_of_a_cluster_bring_equal_length_into_the_data_once():
    ratios = np.log(np.array([*range(42, 50), *range(51, 123)]) / 50)
    clusters = np.maximum(np.arange(80), 7)  # the eight briefer answers are of one cluster
    reason = unfitted(np.array([1.0, 0.0] * 40), relative_length(ratios), clusters)
    assert reason == OUTSIDE.format("shorter", "1 of 73")


def equal_arms(shift, count, dice, slope=0.0):
    """As good as each other at equal length; ours longer by `shift` standard deviations."""
    ratios = dice.normal(shift, 1, count)
    points = (dice.random(count) < 1 / (1 + np.exp(-slope * ratios))).astype(float)
    return points, relative_length(ratios)


def test_an_arm_that_is_nearly_always_longer_has_no_extreme_rate_at_equal_length():
    """A fit without a penalty gave under .01 or over .99 in 110 of these 150 draws."""
    dice = np.random.default_rng(0)
    draws = [equal_arms(shift, 24, dice) for shift in [0.8, 1.2, 2.0] * 50]
    prompts = np.arange(24)
    fitted = [draw for draw in draws if not unfitted(*draw, prompts)]
    found = [adjusted_rate(*draw, prompts)[0] for draw in fitted]
    assert 20 < len(found) < 100
    assert 0.1 < min(found) < max(found) < 0.9


@pytest.mark.parametrize(("count", "shift", "slope"), [(24, 0, 0), (24, 0.8, 1), (80, 1.2, 2)])
def test_intervals_at_equal_length_hold_the_truth(count, shift, slope):
    # Of 150 fits 95%, give or take 1.8 points; `benchmarks/winrate_coverage.py` has thousands.
    dice, held, prompts = np.random.default_rng(0), [], np.arange(count)
    while len(held) < 150:
        draw = equal_arms(shift, count, dice, slope)
        if not unfitted(*draw, prompts):
            _, low, high = adjusted_rate(*draw, prompts)
            held.append(low <= 0.5 <= high)
    assert 0.9 <= np.mean(held) <= 0.99


TURN = st.tuples(st.sampled_from(["a", "b", "tie"]), st.integers(0, 9), st.integers(0, 9))


@QUICK
@given(st.lists(TURN, min_size=10, max_size=30), st.integers(1, 3))
def test_no_duel_fails_to_be_fitted_and_swapped_arms_mirror(turns, size):
    def adjusted(swap):
        rows = [
            preference(f"q/{place}", SWAPPED.get(won, won) if swap else won, words=(one, other))
            for place, (won, *lengths) in enumerate(turns)
            for one, other in [lengths[::-1] if swap else lengths]
        ]
        frame = pd.DataFrame(rows)
        clusters = np.arange(len(rows)) // size
        row = duel_row(frame.assign(points=frame["outcome"].map(POINTS), cluster=clusters), "d")
        return [row[key] for key in ("adjusted", "adjusted_low", "adjusted_high")]

    rate, low, high = adjusted(swap=False)
    back, back_low, back_high = adjusted(swap=True)
    if rate is None:
        assert (low, high, back) == (None, None, None)
    else:
        assert 0 <= low <= rate <= high <= 1
        assert (1 - rate, 1 - high, 1 - low) == pytest.approx((back, back_low, back_high), abs=1e-3)


def test_prompts_of_a_cluster_are_not_independent():
    once = pd.DataFrame(by_length(40, slope=1, seed=0))
    once = once.assign(points=once["outcome"].map(POINTS), cluster=range(40))
    again = pd.concat([once, once.assign(prompt_id=once["prompt_id"] + "again")])
    one, two = (duel_row(duel, "a duel") for duel in (once, again))
    assert (two["n"], two["clusters"], one["clusters"]) == (80, 40, 40)
    for key in ("win_rate", "p_value"):
        assert two[key] == one[key]
    for low, high, slack in (("ci_low", "ci_high", 0.02), ("adjusted_low", "adjusted_high", 0.07)):
        assert two[high] - two[low] == pytest.approx(one[high] - one[low], abs=slack)


def test_preferences_of_a_prompt_that_is_gone_are_an_error(rows):
    with pytest.raises(AlignlabError, match=r"0\.parquet: prompt 'q/99', turn 0: judgements for"):
        rows([preference("q/99", "a")])
