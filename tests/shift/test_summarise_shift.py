import math
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pairs import card, statistics_job
from pyarrow import csv
from synthetic_tokens import answer, token, write_prompts

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.shift.summarise import TABLES, summarise_shift
from alignlab.shift.tokens import METRICS

QUICK = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
FOUR = {f"q/{number}": ("q", "regular") for number in range(4)}
RANKS = st.lists(st.sampled_from([1, 1, 2, 3, 4, 50]), min_size=1, max_size=6)


@pytest.fixture
def summarised(tmp_path):
    """Run it on the rows of one pair; returns table → rows."""

    def run(rows, prompts=FOUR, seed=0, clusters=None):
        write_prompts(tmp_path / "prompts.parquet", prompts, clusters)
        tables.write("token_shift", tmp_path / "p.parquet", rows, {})
        summarise_shift(statistics_job(tmp_path, card("p"), seed=seed))
        return {name: list(tables.rows(name, tmp_path / f"{name}.parquet")) for name in TABLES}

    return run


def only(rows, **wanted):
    (row,) = [row for row in rows if wanted.items() <= row.items()]
    return row


def value(found, metric, **wanted):
    slice_ = {"dataset": "all", "category": "all", "eos": "with", "weighting": "pooled"}
    return only(found["shift_statistics"], metric=metric, **slice_ | wanted)["value"]


# Two prompts of 4 and 2 tokens; ranks 1 1 2 9 | 5 1, the 9 and the last 1 end their answers.
SMALL = [
    *answer("q/0", [1, 1, 2], kl=0.5),
    token("q/0", 3, 9, kl=2.5, is_eos=True, confidence=0.25),
    token("q/1", 0, 5, kl=1.0, confidence=0.45, token_category="greeting_closer"),
    token("q/1", 1, 1, kl=0.0, is_eos=True, confidence=0.95),
]


def test_every_number_of_a_small_table(summarised):
    found = summarised(SMALL)
    pooled = {
        "unshifted": 3 / 6,
        "marginal": 1 / 6,
        "shifted": 2 / 6,
        "top3": 4 / 6,
        "kl_aligned_base": 5 / 6,
        "kl_base_aligned": 10 / 6,
        "js": 5 / 24,
        "base_entropy": 1.5,
        "aligned_entropy": 0.5,
        "base_probability": 0.5,
        "aligned_probability": 0.8,
        "mean_rank": 19 / 6,
        "median_rank": 1,
        "first_token_shifted": 1 / 2,
        "eos_shifted": 1 / 2,
        "kl_share_shifted": 3.5 / 5,
        # Doubt of the misses .45 (rank 2), .75, .55; of the hits .45, .45, .05.
        "confidence_auc": (1 + 0.5 + 0.5 + 3 + 3) / 9,
    }
    assert {name: value(found, name) for name in METRICS} == pytest.approx(pooled)
    by_prompt = {
        "shifted": (1 / 4 + 1 / 2) / 2,
        "kl_aligned_base": (1 + 0.5) / 2,
        "mean_rank": (13 / 4 + 3) / 2,
        "first_token_shifted": 1 / 2,
        "kl_share_shifted": (2.5 / 4 + 1) / 2,
    }
    for name, expected in by_prompt.items():
        assert value(found, name, weighting="by_prompt") == pytest.approx(expected)
    without = {"shifted": 1 / 4, "kl_aligned_base": 2.5 / 4, "mean_rank": 9 / 4, "median_rank": 1}
    for name, expected in without.items():
        assert value(found, name, eos="without") == pytest.approx(expected)
    row = only(found["shift_statistics"], metric="eos_shifted", weighting="pooled", eos="with")
    assert (row["prompts"], row["tokens"]) == (2, 2)


def test_tokens_categories_and_confidence_of_a_small_table(summarised):
    found = summarised(SMALL)
    first, second = found["shifted_tokens"]
    assert (first["token_id"], first["count"], first["shifted"], first["prompts"]) == (5, 1, 1, 1)
    assert (first["token_category"], first["lift"]) == ("greeting_closer", pytest.approx(3))
    assert second["token_id"] == 9
    content = only(found["shift_categories"], token_category="content")
    assert (content["tokens"], content["share"]) == (5, pytest.approx(5 / 6))
    assert (content["shifted_rate"], content["share_of_shifted"]) == (0.2, 0.5)
    assert content["share_of_kl"] == pytest.approx(0.8)
    bins = found["shift_confidence"]
    assert [row["tokens"] for row in bins] == [0, 0, 1, 0, 1, 3, 0, 0, 0, 1]
    assert [row["disagreement"] for row in bins][4:6] == [1, pytest.approx(1 / 3)]
    assert (bins[9]["low"], bins[9]["high"], bins[9]["disagreement"]) == (0.9, 1.0, 0)
    assert bins[0]["disagreement"] is bins[0]["ci_low"] is bins[0]["shifted_rate"] is None


def test_curves_of_a_small_table(summarised):
    rows = summarised(SMALL)["shift_curves"]
    assert {row["answers"] for row in rows} == {"all"}

    def curve(metric):
        return [row for row in rows if row["metric"] == metric]

    assert [row["n"] for row in curve("kl_aligned_base")] == [2, 2, 1, 1]
    assert [row["value"] for row in curve("kl_aligned_base")] == [0.75, 0.25, 0.5, 2.5]
    assert [row["value"] for row in curve("base_rank_mean")] == [3, 1, 2, 9]
    assert [row["value"] for row in curve("base_rank_median")] == [1, 1, 2, 9]
    assert [row["value"] for row in curve("shifted")] == [0.5, 0, 0, 1]
    bounds = [(row["ci_low"], row["ci_high"]) for row in curve("kl_aligned_base")]
    assert bounds == [(0.5, 1), (0, 0.5), (None, None), (None, None)]


def test_long_answers_keep_one_set_of_answers_up_to_position_64(summarised):
    rows = [*answer("q/0", [1] * 80), *answer("q/1", [5] * 65), *answer("q/2", [5] * 64)]
    found = [row for row in summarised(rows)["shift_curves"] if row["metric"] == "shifted"]
    long = [row for row in found if row["answers"] == "long"]
    assert [(row["position"], row["n"], row["value"]) for row in long] == [
        (position, 2, 0.5) for position in range(65)
    ]
    assert [row["n"] for row in found if row["answers"] == "all"] == [3] * 64 + [2] + [1] * 15


def test_turns_and_samples_of_a_prompt_are_one_draw(summarised):
    one = [*answer("q/0", [1, 4]), *answer("q/1", [1, 1, 1, 4, 1])]
    spread = [
        *answer("q/0", [1], turn=0),
        *answer("q/0", [4], turn=1),
        *answer("q/1", [1, 1], sample=0),
        *answer("q/1", [1, 4, 1], sample=1),
    ]
    before, after = summarised(one), summarised(spread)
    wanted = {"metric": "shifted", "eos": "with"}
    for weighting in ("pooled", "by_prompt"):
        label = wanted | {"weighting": weighting}
        assert only(after["shift_statistics"], **label) == only(before["shift_statistics"], **label)
    row = only(
        after["shift_statistics"], metric="first_token_shifted", weighting="pooled", eos="with"
    )
    assert (row["tokens"], row["prompts"], row["value"]) == (4, 2, 0.25)


COUNTS = {"prompts", "tokens", "n", "count", "shifted"}


def without(row, names):
    return {name: value for name, value in row.items() if name not in names}


@QUICK
@given(st.lists(RANKS, min_size=1, max_size=4), st.integers(2, 3))
def test_a_cluster_of_alike_answers_is_one_witness(summarised, answers, often):
    def run(copies):
        alike = {f"q/{i}/{n}": str(i) for i in range(len(answers)) for n in range(copies)}
        rows = [
            row
            for name, i in alike.items()
            for row in answer(name, answers[int(i)], eos=True, kl=1 / (int(i) + 3))
        ]
        return summarised(rows, dict.fromkeys(alike, ("q", "regular")), clusters=alike)

    once, repeated = run(1), run(often)
    for table in TABLES:
        for one, many in zip(once[table], repeated[table], strict=True):
            if "clusters" in many:
                assert many["clusters"] == one["clusters"] == one["prompts"]
            assert without(many, COUNTS) == pytest.approx(without(one, COUNTS), abs=1e-9)
            assert all(many[name] == often * one[name] for name in COUNTS & many.keys())


def test_clusters_that_differ_in_size_keep_the_values_and_widen_the_intervals(summarised):
    prompts = {f"q/{number}": ("q", "regular") for number in range(9)}
    rows = [r for n, name in enumerate(prompts) for r in answer(name, [1, 4, 1 + 3 * (n < 5)])]
    alike = {name: "abc"[n // 2 if n < 5 else 2] for n, name in enumerate(prompts)}
    alone, together = summarised(rows, prompts), summarised(rows, prompts, clusters=alike)
    for table in ("shift_statistics", "shift_curves", "shift_categories", "shift_confidence"):
        ends = {"ci_low", "ci_high", "clusters"}
        assert [without(r, ends) for r in together[table]] == [
            without(r, ends) for r in alone[table]
        ]
    wanted = {"metric": "shifted", "eos": "with", "weighting": "by_prompt"}
    narrow, wide = (only(found["shift_statistics"], **wanted) for found in (alone, together))
    assert (narrow["clusters"], wide["clusters"]) == (9, 3)
    assert wide["ci_high"] - wide["ci_low"] > narrow["ci_high"] - narrow["ci_low"]


def test_with_one_prompt_there_is_no_interval(summarised):
    rows = [*answer("q/0", [1, 2, 7]), *answer("q/0", [1, 4], turn=1)]
    alike = [r for name in FOUR for r in answer(name, [1, 2, 7])]
    for found in (summarised(rows), summarised(alike, clusters=dict.fromkeys(FOUR, "c"))):
        for row in (row for table in found.values() for row in table):
            assert row.get("ci_low") is row.get("ci_high") is None


def test_shares_of_none_or_all_are_not_certain(summarised):
    rows = [row for name in FOUR for row in answer(name, [1, 1, 4], eos=True)]
    found = summarised(rows)
    row = only(found["shift_statistics"], metric="eos_shifted", weighting="pooled")
    assert (row["value"], row["ci_high"]) == (1, 1)
    assert row["ci_low"] == pytest.approx(4 / (4 + 1.96**2), abs=1e-3)
    row = only(found["shift_statistics"], metric="shifted", weighting="pooled", eos="with")
    assert row["ci_low"] == row["ci_high"] == row["value"]


def test_answers_that_never_end_leave_the_end_undefined(summarised):
    found = summarised([*answer("q/0", [1, 4]), *answer("q/1", [1])])
    row = only(found["shift_statistics"], metric="eos_shifted", weighting="pooled")
    assert (row["value"], row["prompts"], row["tokens"]) == (None, 0, 0)
    assert value(found, "shifted") == value(found, "shifted", eos="without")


def test_nothing_but_end_tokens_and_nothing_at_all(summarised):
    found = summarised([token("q/0", 0, 9, is_eos=True), token("q/1", 0, 1, is_eos=True)])
    assert {row["eos"] for row in found["shift_statistics"]} == {"with"}
    assert all(rows == [] for rows in summarised([]).values())


def test_slices_mirror_those_of_the_metrics(summarised):
    prompts = {"a/0": ("a", "regular"), "b/0": ("b", "safety"), "b/1": ("b", "regular")}
    found = summarised([row for name in prompts for row in answer(name, [1, 4])], prompts)
    slices = {(row["dataset"], row["category"]) for row in found["shift_statistics"]}
    kinds = {("all", "all"), ("all", "regular"), ("all", "safety"), ("a", "all")}
    assert slices == kinds | {("b", "all"), ("b", "regular"), ("b", "safety")}
    assert {row["category"] for row in found["shift_curves"]} == {"all", "regular", "safety"}


@QUICK
@given(st.lists(RANKS, min_size=2, max_size=4), st.integers(0, 99))
def test_shares_add_up_and_the_order_of_rows_changes_nothing(summarised, answers, shuffle):
    rows = [
        row
        for number, ranks in enumerate(answers)
        for row in answer(f"q/{number}", ranks, eos=True, kl=1 / (number + 3))
    ]
    found = summarised(rows)
    for weighting in ("pooled", "by_prompt"):
        parts = [
            value(found, name, weighting=weighting) for name in ("unshifted", "marginal", "shifted")
        ]
        assert sum(parts) == pytest.approx(1)
        assert value(found, "top3", weighting=weighting) == pytest.approx(1 - parts[2])
    for table, column in (("shift_categories", "share_of_kl"), ("shift_confidence", "share")):
        assert sum(row[column] for row in found[table]) == pytest.approx(1)
    for row in found["shift_statistics"]:
        assert row["ci_low"] is None or row["ci_low"] <= row["ci_high"]
    assert summarised(random.Random(shuffle).sample(rows, len(rows))) == found


@QUICK
@given(st.integers(1, 5), st.data())
def test_pooled_is_by_prompt_where_all_answers_are_equally_long(summarised, length, data):
    rank = st.sampled_from([1, 2, 4])
    same = [data.draw(st.lists(rank, min_size=length, max_size=length)) for _ in range(3)]
    rows = [row for number, ranks in enumerate(same) for row in answer(f"q/{number}", ranks)]
    found = summarised(rows)["shift_statistics"]
    for metric in ("shifted", "mean_rank", "first_token_shifted"):
        pooled, by_prompt = (
            only(found, metric=metric, eos="with", weighting=weighting)
            for weighting in ("pooled", "by_prompt")
        )
        for column in ("value", "ci_low", "ci_high"):
            assert pooled[column] == pytest.approx(by_prompt[column])


def test_csv_says_the_same_as_parquet(summarised, tmp_path):
    found = summarised(SMALL)
    for name in ("shift_statistics", "shift_categories", "shift_confidence"):
        assert csv.read_csv(tmp_path / f"{name}.csv").to_pylist() == found[name]


def test_a_prompt_that_nobody_asked_is_an_error(summarised):
    with pytest.raises(AlignlabError, match=r"p\.parquet: prompt 'q/9': not in any prompts table"):
        summarised([token("q/9", 0)])


def test_the_seed_decides(summarised):
    rows = [row for n, name in enumerate(FOUR) for row in answer(name, [1, 4, *[1] * n, 2])]
    assert summarised(rows) == summarised(rows)
    assert summarised(rows, seed=1) != summarised(rows)
    assert not math.isnan(value(summarised(rows), "confidence_auc"))


PROMPTS = {f"q/{number}": ("q", "regular") for number in range(3)}


@pytest.fixture
def compared(tmp_path):
    """Summarise pairs given as name → (aligned arm, rows); rows of `shift_comparisons`."""

    def run(clusters=None, **pairs):
        write_prompts(tmp_path / "prompts.parquet", PROMPTS, clusters)
        for name, (_, rows) in pairs.items():
            tables.write("token_shift", tmp_path / f"{name}.parquet", rows, {})
        cards = [card(name, aligned=arm) for name, (arm, _) in pairs.items()]
        summarise_shift(statistics_job(tmp_path, *cards))
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


def test_differences_are_over_clusters(compared):
    pairs = {"plain": ("chat", PLAIN), "prompted": ("chat", PROMPTED)}
    two = row(compared({"q/0": "c", "q/1": "c"}, **pairs), "marginal")
    assert (two["prompts"], two["clusters"], two["value"]) == (3, 2, pytest.approx(1 / 8))
    one = row(compared(dict.fromkeys(PROMPTS, "c"), **pairs), "marginal")
    assert (one["clusters"], one["value"], one["ci_low"]) == (1, pytest.approx(1 / 8), None)


def test_the_same_scores_do_not_differ(compared):
    for found in compared(plain=("chat", PLAIN), again=("chat", PLAIN)):
        assert (found["value"], found["ci_low"], found["ci_high"]) == (0, 0, 0)


def test_a_prompt_that_one_pair_could_not_score_is_left_out(compared):
    rows = compared(plain=("chat", PLAIN), prompted=("chat", PROMPTED[:5]))
    assert row(rows, "shifted")["tokens"] == 5
    assert row(rows, "shifted")["value"] == pytest.approx((1 - 3) / 5)


def test_pairs_of_other_answers_are_not_compared(compared):
    assert compared(plain=("chat", PLAIN), other=("tuned", PROMPTED)) == []


def test_every_pair_keeps_its_own_coverage_and_count_of_what_the_base_lacks(compared, tmp_path):
    compared(plain=("chat", PLAIN), prompted=("chat", PROMPTED))
    counts = {
        "plain": {"answers": 10, "scored": 9, "left_out_tokens": 0},
        "prompted": {"answers": 10, "scored": 5, "left_out_tokens": 7},
    }
    for name, rows in (("plain", PLAIN), ("prompted", PROMPTED)):
        with tables.writing("token_shift", tmp_path / f"{name}.parquet", {}) as writer:
            writer.write(rows)
            writer.note("counts", counts[name])
    summarise_shift(statistics_job(tmp_path, card("plain"), card("prompted")))
    rows = tables.rows("shift_statistics", tmp_path / "shift_statistics.parquet")
    found = {(row["pair"], row["coverage"], row["lacking"]) for row in rows}
    assert found == {("plain", 0.9, 0), ("prompted", 0.5, 7)}
