import random
import warnings

import numpy as np
import pyarrow.csv as csv
import pytest
from arm_statistics import statistics_job
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.reporting.arms.summarise import summarise

QUICK = settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
FOUR = {f"q/{number}": ("q", "regular") for number in range(4)}


@pytest.fixture
def summarised(tmp_path):
    """Run it on {arm: [(prompt, turn, metric, value)]}; the first arm is the baseline."""

    def run(arms, prompts=FOUR, shuffle=None, seed=0, turns=None, clusters=None):
        order = (lambda rows: random.Random(shuffle).sample(rows, len(rows))) if shuffle else list
        asked = [
            {
                "prompt_id": name,
                "dataset": dataset,
                "category": category,
                "source": "",
                "turns": ["?"] * (turns or {}).get(name, 1),
                "tags": [],
                "reference": None,
                "mistake": None,
                "target": None,
                "cluster": (clusters or {}).get(name),
            }
            for name, (dataset, category) in prompts.items()
        ]
        tables.write("prompts", tmp_path / "p.parquet", order(asked), {})
        keys = ("prompt_id", "turn", "metric", "value")
        for arm, cells in arms.items():
            rows = [{"arm": arm, **dict(zip(keys, cell, strict=True))} for cell in cells]
            tables.write("metrics", tmp_path / f"{arm}.parquet", order(rows), {})
        datasets = sorted({dataset for dataset, _ in prompts.values()})
        paths = {arm: tmp_path / f"{arm}.parquet" for arm in arms}
        asked = dict.fromkeys(arms, datasets)
        given = (tmp_path, paths, [tmp_path / "p.parquet"])
        summarise(statistics_job(*given, asked=asked, seed=seed))
        names = ("statistics", "comparisons")
        return [list(tables.rows(name, tmp_path / f"{name}.parquet")) for name in names]

    return run


def scores(values, metric="score"):
    return [(f"q/{number}", 0, metric, value) for number, value in enumerate(values)]


def only(rows, **wanted):
    (row,) = [row for row in rows if wanted.items() <= row.items()]
    return row


def test_turns_are_averaged_within_a_prompt_before_anything_else(summarised):
    cells = [*scores([1.0, 2.0, 3.0]), ("q/3", 0, "score", 0.0), ("q/3", 1, "score", 8.0)]
    statistics, _ = summarised({"a": cells}, turns={"q/3": 2})
    row = only(statistics, arm="a")
    assert (row["n"], row["mean"], row["coverage"]) == (4, 2.5, 1)
    assert row["ci_low"] < 2.5 < row["ci_high"]


def test_coverage_counts_prompts_that_were_never_answered(summarised):
    arms = {"a": scores([1.0, 2.0, None]), "b": scores([None, 1.0, 5.0, 7.0]), "c": []}
    statistics, comparisons = summarised(arms)
    assert only(statistics, arm="a")["coverage"] == 0.5
    assert only(statistics, arm="b")["coverage"] == 0.75
    empty = only(statistics, arm="c")
    assert (empty["n"], empty["mean"], empty["ci_low"], empty["coverage"]) == (0, None, None, 0)
    assert only(comparisons, arm_a="b")["n"] == 1
    nothing = only(comparisons, arm_a="c")
    assert nothing["n"] == 0
    assert nothing["mean_difference"] is nothing["ci_low"] is nothing["p_adjusted"] is None


def test_a_lost_turn_shows_in_coverage_and_not_in_the_difference(summarised):
    first = scores([1.0, 2.0, 3.0, 5.0])
    second = [(name, 1, metric, value + 4) for name, _, metric, value in first]
    arms = {"b": first, "a": first + second}
    statistics, (row,) = summarised(arms, turns=dict.fromkeys(FOUR, 2))
    assert (row["n"], row["mean_difference"], row["ci_low"], row["ci_high"]) == (4, 0, 0, 0)
    assert [(row["mean"], row["coverage"]) for row in statistics] == [(2.75, 0.5), (4.75, 1)]


def test_differences_of_turns_are_averaged_within_the_prompt(summarised):
    turns = {"q/0": 2}
    base = [*scores([1.0, 1.0, 1.0, 1.0]), ("q/0", 1, "score", 2.0)]
    other = [*scores([2.0, 1.0, 1.0, None]), ("q/0", 1, "score", 7.0)]
    _, (row,) = summarised({"a": base, "b": other}, turns=turns)
    assert (row["n"], row["mean_difference"]) == (3, 1)  # (1 + 5) / 2 in one prompt of three
    assert row["test"] == "sign-flip permutation"


def test_mcnemar_only_where_every_prompt_is_won_lost_or_tied_whole(summarised):
    turns = {"q/0": 2}
    base = [*scores([0, 0, 0, 0]), ("q/0", 1, "score", 0)]
    for value, test in ((1, "mid-p McNemar"), (0, "sign-flip permutation")):
        other = [*scores([1, 1, 0, 1]), ("q/0", 1, "score", value)]
        _, (row,) = summarised({"a": base, "b": other}, turns=turns)
        assert row["test"] == test


def test_a_metric_without_any_value_keeps_its_rows(summarised):
    statistics, comparisons = summarised({"a": scores([None] * 4), "b": scores([None] * 4)})
    assert [(row["n"], row["mean"], row["coverage"]) for row in statistics] == [(0, None, 0)] * 2
    assert [(row["n"], row["p_value"], row["test"]) for row in comparisons] == [(0, None, None)]


def test_one_prompt_has_a_mean_and_no_interval(summarised):
    prompts = {"q/0": ("q", "regular")}
    statistics, comparisons = summarised({"a": scores([3.0]), "b": scores([5.0])}, prompts)
    row = only(statistics, arm="b")
    assert (row["n"], row["mean"], row["ci_low"], row["ci_high"]) == (1, 5, None, None)
    (row,) = comparisons
    assert (row["mean_difference"], row["p_value"], row["effect_size"]) == (2, 1, None)


def test_a_constant_difference_has_no_effect_size(summarised):
    _, (row,) = summarised({"a": scores([1.0, 2, 3, 4]), "b": scores([3.0, 4, 5, 6])})
    assert (row["mean_difference"], row["ci_low"], row["ci_high"]) == (2, 2, 2)
    assert (row["effect_size"], row["minimum_detectable_effect"]) == (None, None)
    assert row["p_value"] == pytest.approx(2 / 2**4 / 2)


def test_a_difference_that_is_constant_but_for_rounding_has_no_effect_size(summarised):
    prompts = {f"q/{number}": ("q", "regular") for number in range(20)}
    base = np.random.default_rng(0).normal(size=20)
    differences = (base + 0.2) - base
    assert np.ptp(differences) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, (row,) = summarised({"a": scores(base), "b": scores(base + 0.2)}, prompts)
    assert row["ci_low"] == row["ci_high"] == pytest.approx(0.2)
    assert row["effect_size"] is row["minimum_detectable_effect"] is None


def test_shares_of_none_or_all_are_not_certain(summarised):
    prompts = {f"q/{number}": ("q", "regular") for number in range(36)}
    arms = {
        "a": scores([0] * 36, "share") + scores([0] * 36, "count"),
        "b": scores([1] * 36, "share") + scores([2] * 36, "count"),
        "c": scores([1], "share") + scores([0], "count"),
    }
    statistics, _ = summarised(arms, prompts)

    def interval(arm, metric):
        row = only(statistics, arm=arm, metric=metric)
        return row["ci_low"], row["ci_high"]

    assert interval("a", "share") == (0, pytest.approx(0.0964, abs=1e-4))
    assert interval("b", "share") == (pytest.approx(0.9036, abs=1e-4), 1)
    assert interval("c", "share") == (pytest.approx(0.2065, abs=1e-4), 1)
    assert interval("a", "count") == (0, 0)
    assert interval("b", "count") == (2, 2)
    assert interval("c", "count") == (None, None)


def test_zeros_and_ones_get_mcnemar_and_holm_is_within_a_metric(summarised):
    arms = {
        "a": scores([0, 0, 0, 0], "refusal") + scores([1.5, 2, 3, 4]),
        "b": scores([1, 1, 1, 1], "refusal") + scores([2.5, 3, 4, 6]),
        "c": scores([0, 1, 1, 1], "refusal") + scores([1.5, 2, 3, 4]),
    }
    _, comparisons = summarised(arms)
    found = only(comparisons, arm_a="b", metric="refusal")
    assert found["test"] == "mid-p McNemar"
    assert found["p_value"] == pytest.approx(0.0625)
    assert found["p_adjusted"] == pytest.approx(0.125)
    found = only(comparisons, arm_a="b", metric="score")
    assert found["test"] == "sign-flip permutation"
    assert found["p_adjusted"] == pytest.approx(0.125)
    assert only(comparisons, arm_a="c", metric="score")["p_value"] == 1


def test_slices_exist_once_and_only_where_they_differ(summarised):
    mixed = {
        "q/0": ("q", "regular"),
        "q/1": ("q", "regular"),
        "q/2": ("bad", "safety"),
        "q/3": ("both", "safety"),
        "q/4": ("both", "regular"),
    }
    arms = {"a": scores([1.0] * 5), "b": scores([2.0] * 5)}
    statistics, comparisons = summarised(arms, mixed)
    found = [(row["dataset"], row["category"], row["n"]) for row in statistics if row["arm"] == "a"]
    assert found == [
        ("all", "all", 5),
        ("all", "regular", 3),
        ("all", "safety", 2),
        ("bad", "all", 1),
        ("both", "all", 2),
        ("both", "regular", 1),
        ("both", "safety", 1),
        ("q", "all", 2),
    ]
    compared = [(row["dataset"], row["category"], row["n"]) for row in comparisons]
    assert compared == found
    statistics, _ = summarised({"a": scores([1.0] * 4)})
    assert [(row["dataset"], row["category"]) for row in statistics] == [("all", "all")]


def test_refusing_more_is_compared_by_category_each_its_own_family(summarised):
    """0.145 more refusals over all prompts: 0.42 of forbidden ones, and 0.08 of regular ones."""
    prompts = {f"q/{n}": ("q", "safety" if n < 100 else "regular") for n in range(500)}
    base = [0.0] * 500
    chat = [1.0] * 42 + [0.0] * 58 + [1.0] * 32 + [0.0] * 368
    arms = {"vicuna": scores(base, "refusal"), "chat": scores(chat, "refusal")}
    _, comparisons = summarised(arms, prompts)
    found = {row["category"]: row["mean_difference"] for row in comparisons}
    assert found == {"all": 0.148, "regular": 0.08, "safety": 0.42}
    assert all(row["p_adjusted"] == row["p_value"] for row in comparisons)


def test_prompts_of_a_cluster_are_one_witness(summarised):
    names = [f"q/{n}" for n in range(24)]
    prompts = dict.fromkeys(names, ("q", "regular"))
    clusters = {name: f"c{n // 3}" for n, name in enumerate(names[:18])}
    won = [1.0] * 18 + [0.0] * 6
    arms = {"a": scores([0.0] * 24), "b": scores(won)}
    (own, (alone,)), (found, (together,)) = (
        summarised(arms, prompts, clusters=c) for c in (None, clusters)
    )
    assert (alone["n"], alone["clusters"], alone["p_value"]) == (24, 24, pytest.approx(0.5**18))
    assert (together["n"], together["clusters"]) == (24, 12)
    assert together["p_value"] == pytest.approx(0.5**6)
    assert together["mean_difference"] == alone["mean_difference"] == 0.75
    assert together["ci_low"] < alone["ci_low"]
    assert together["minimum_detectable_effect"] > alone["minimum_detectable_effect"]
    narrow, wide = (only(rows, arm="b") for rows in (own, found))
    assert (wide["n"], wide["clusters"], wide["mean"]) == (24, 12, narrow["mean"])
    assert wide["ci_low"] < narrow["ci_low"] < narrow["ci_high"] < wide["ci_high"]


def test_the_order_of_rows_changes_nothing(summarised):
    arms = {"a": scores([1.1, 2.2, 3.3, 9.9]), "b": scores([4.1, 2.7, 8.3, 1.9], "score")}
    expected = summarised(arms)
    for shuffle in range(1, 5):
        assert summarised(arms, shuffle=shuffle) == expected


@QUICK
@given(st.lists(st.integers(-9, 9), min_size=8, max_size=8), st.integers(-5, 5))
def test_comparisons_are_antisymmetric_and_blind_to_a_common_shift(summarised, values, shift):
    here, there = scores(map(float, values[:4])), scores(map(float, values[4:]))
    _, (forth,) = summarised({"a": here, "b": there})
    _, (back,) = summarised({"b": there, "a": here})
    assert back["mean_difference"] == -forth["mean_difference"]
    assert back["ci_low"] == pytest.approx(-forth["ci_high"], abs=1e-6)
    if back["test"] == forth["test"]:
        assert back["p_value"] == pytest.approx(forth["p_value"])
    moved = [[(p, t, m, v + shift) for p, t, m, v in arm] for arm in (here, there)]
    _, (after,) = summarised(dict(zip("ab", moved, strict=True)))
    assert after["mean_difference"] == pytest.approx(forth["mean_difference"])
    assert after["ci_low"] == pytest.approx(forth["ci_low"], abs=1e-6)
    assert after["p_value"] == pytest.approx(forth["p_value"])


def test_the_seed_decides_and_another_arm_changes_only_the_adjustment(summarised):
    generator = np.random.default_rng(0)
    prompts = {f"q/{number}": ("q", "regular") for number in range(30)}
    arms = {arm: scores(generator.normal(size=30)) for arm in "abc"}
    two = {arm: arms[arm] for arm in "ab"}
    assert summarised(two, prompts) == summarised(two, prompts)
    assert summarised(two, prompts, seed=1) != summarised(two, prompts)
    fewer, more = summarised(two, prompts), summarised(arms, prompts)
    assert [row for row in more[0] if row["arm"] != "c"] == fewer[0]
    with_c = only(more[1], arm_a="b")
    assert {**with_c, "p_adjusted": None} == {**fewer[1][0], "p_adjusted": None}


def test_csv_says_the_same_as_parquet(summarised, tmp_path):
    statistics, _ = summarised({"a": scores([1.0, 2.0, None])})
    read = csv.read_csv(tmp_path / "statistics.csv").to_pylist()
    assert read == statistics
    assert (tmp_path / "comparisons.csv").read_text().startswith('"arm_a","arm_b","dataset"')


def test_a_prompt_that_nobody_asked_is_an_error(summarised):
    with pytest.raises(AlignlabError, match=r"a\.parquet: prompt 'q/9'"):
        summarised({"a": [("q/9", 0, "score", 1.0)]})
    with pytest.raises(AlignlabError, match=r"a\.parquet: prompt 'q/1', turn 1"):
        summarised({"a": [("q/0", 0, "score", 1.0), ("q/1", 1, "score", 1.0)]})
    with pytest.raises(AlignlabError, match="no prompts"):
        summarised({"a": []}, prompts={})
