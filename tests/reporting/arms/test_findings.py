"""The sentences claim what the paired comparisons show, and nothing else."""

import pytest

from alignlab.reporting.arms.measures import Measure, headlines, opening, sentences, significant
from alignlab.reporting.cards import ArmCard, AspectCard
from alignlab.reporting.inputs import ReadAspect, ReadResults, definitions


def row(difference, half=0.05, p=0.01, mde=0.08):
    low, high = difference - half, difference + half
    found = {"mean_difference": difference, "ci_low": low, "ci_high": high, "p_adjusted": p}
    return found | {"n": 36, "minimum_detectable_effect": mde}


RATED = {"judge": "j", "aspect": "depth", "label": "Depth", "unit": "1-5", "better": "higher"}
RATED |= {"rubric": "judge/quality", "description": "is it thorough?", "category": None}
RATED |= {"model": "m", "kind": "local", "judged_self": (), "min_coverage": 0.9}


def aspect(metric, doubt):
    return ReadAspect(metric, "j", "depth", "Depth", None, "m", (), 0.9, doubt)


def results(cells, doubts=None):
    """Results with one metric's comparisons: arm → row."""
    said = {"model": "m", "method": {"kind": "zero-shot"}, "decoding": {}, "role": "base"}
    arms = tuple(ArmCard(name=name, **said) for name in ("plain", *cells))
    metrics = list(dict.fromkeys(metric for rows in cells.values() for metric in rows))
    aspects = {name: aspect(name, doubt) for name, doubt in (doubts or {}).items()}
    about = definitions([AspectCard(metric=name, **RATED) for name in aspects])
    return ReadResults(arms, "plain", about, aspects, metrics, [], {}, {"all": cells}, {}, {}, {})


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"p_adjusted": 0.05}, False),
        ({"p_adjusted": None}, False),
        ({"ci_low": -0.01}, False),
        ({"ci_low": 0.0}, False),
        ({"ci_low": -0.2, "ci_high": -0.1}, True),
        ({"ci_low": None}, False),
    ],
)
def test_a_difference_needs_both_the_interval_and_the_adjusted_p(changed, expected):
    assert significant(row(0.12) | changed) is expected


@pytest.mark.parametrize(
    ("metric", "difference", "word"),
    [
        ("relevance", 0.2, "Better"),
        ("relevance", -0.2, "Worse"),
        ("rep_4", 0.2, "Worse"),
        ("rep_4", -0.2, "Better"),
        ("num_words", 0.2, "Higher"),
        ("num_words", -0.2, "Lower"),
    ],
)
def test_better_is_said_only_where_a_direction_is_defined(metric, difference, word):
    (headline,) = headlines(results({"urial": {metric: row(difference)}}))
    assert [finding.direction for finding in headline.findings] == [word]


def test_a_finding_gives_difference_interval_p_and_n():
    (headline,) = headlines(results({"urial": {"relevance": row(0.2)}}))
    (finding,) = headline.findings
    evidence = finding.evidence.replace("\u00a0", " ")
    assert (finding.arm, finding.change) == ("urial", "+0.200")
    assert evidence == "[+0.150, +0.250], p = .010, n = 36"
    assert headline.rest == ""


def test_arms_that_do_not_differ_are_named_with_the_minimum_detectable_effect():
    cells = {"a": {"relevance": row(0.01, p=0.9)}, "b": {"relevance": row(0.02, p=0.4, mde=0.1)}}
    study = results(cells)
    made = headlines(study)
    assert made[0].findings == []
    assert made[0].rest.replace("\u00a0", " ") == (
        "No significant difference: a and b"
        " (n = 36; minimum detectable effect 0.100 at 80% power, unadjusted)."
    )
    assert opening(study, made).startswith(
        "No arm differs significantly from plain on any of 1 main"
    )


def test_findings_come_before_metrics_without_any_and_larger_before_smaller():
    cells = {
        "a": {"clean_stop": row(0.01, p=1.0), "relevance": row(0.1)},
        "b": {"clean_stop": row(0.01, p=1.0), "relevance": row(0.3)},
    }
    study = results(cells)
    made = headlines(study)
    assert [headline.label for headline in made] == ["Relevance", "Ends cleanly"]
    assert [finding.arm for finding in made[0].findings] == ["b", "a"]
    assert (
        opening(study, made)
        == "At least one arm differs significantly from plain on 1 of 2 main metrics."
    )


def test_a_judge_makes_headlines_only_where_it_is_qualified():
    cells = {"a": {"j:depth": row(0.9), "relevance": row(0.01, p=1.0)}}
    qualified = headlines(results(cells, {"j:depth": ""}))
    assert [headline.label for headline in qualified] == ["Depth", "Relevance"]
    assert qualified[0].findings[0].direction == "Better"
    doubted = headlines(results(cells, {"j:depth": "not tested"}))
    assert [headline.label for headline in doubted] == ["Relevance"]


def test_a_refused_comparison_is_neither_a_finding_nor_its_absence():
    refused = row(0.2) | dict.fromkeys(("mean_difference", "ci_low", "ci_high", "p_adjusted"))
    study = results({"a": {"relevance": refused}, "b": {"relevance": row(0.01, p=1.0)}})
    (headline,) = headlines(study)
    assert headline.rest.startswith("No significant difference: b (")
    assert headlines(results({"a": {"relevance": refused}})) == []


def test_a_lone_baseline_says_so():
    study = results({})
    assert opening(study, headlines(study)) == "There is nothing to compare with plain."


def own(mean, n=80):
    row = {"n": n, "mean": mean, "coverage": 1.0, "arm": "?"}
    return row | {"ci_low": mean - 0.05, "ci_high": mean + 0.05}


def change(difference, half=0.05, p=0.01, mde=0.12):
    found = {"mean_difference": difference, "ci_low": difference - half}
    found |= {"ci_high": difference + half, "p_adjusted": p, "n": 80, "test": "exact McNemar"}
    return found | {"minimum_detectable_effect": mde}


def measure(changes, metric="hijacked", better="lower", means=(), aspect=None):
    arms = dict.fromkeys(arm for rows in changes.values() for arm in (*rows,))
    values = {**{arm: own(0.4) for arm in ("untuned", *arms)}, **dict(means)}
    rows = {arm: row | {"arm": arm} for arm, row in values.items()}
    return Measure("Attack", metric, "attacks", better, "share", aspect, rows, changes)


def said(rows, **settings):
    (sentence,) = sentences(measure({"untuned": rows}, **settings))
    return sentence.replace("\u00a0", " ")


def test_a_finding_gives_size_and_interval_with_the_direction_in_words():
    assert said({"lfm": change(-0.31, 0.09)}) == (
        "Against untuned: lower (better) in lfm by 0.31 [0.22, 0.40]."
    )


@pytest.mark.parametrize(
    ("better", "difference", "words"),
    [
        ("lower", -0.2, "lower (better)"),
        ("lower", 0.2, "higher (worse)"),
        ("higher", 0.2, "higher (better)"),
        ("higher", -0.2, "lower (worse)"),
        ("none", 0.2, "higher in"),
    ],
)
def test_the_scenario_says_which_way_is_better(better, difference, words):
    assert words in said({"lfm": change(difference)}, better=better)


def test_what_does_not_differ_comes_with_the_minimum_detectable_effect():
    rows = {"lfm": change(-0.3), "sft": change(0.02, p=0.8), "coh": change(0.01, p=0.9, mde=0.2)}
    assert said(rows).endswith(
        "; no significant difference in sft and coh"
        " (n = 80; minimum detectable effect 0.20 at 80% power, unadjusted)."
    )
    assert said({"sft": change(0.0, mde=None)}).endswith(
        "no significant difference in sft (n = 80)."
    )


def test_many_arms_are_counted_and_the_largest_differences_named():
    rows = {f"m{i}": change(-0.1 - i / 50) for i in range(9)}
    rows |= {f"s{i}": change(0, p=1.0) for i in range(6)}
    sentence = said(rows)
    assert sentence.startswith("Against untuned: lower (better) in m8 by 0.26")
    assert "m5" in sentence
    assert "m4" not in sentence
    assert " and 5 more; no significant difference in 6 arms (" in sentence


def test_every_arm_compared_with_has_its_sentence():
    two = measure({"untuned": {"sft": change(-0.2)}, "sft": {"lfm": change(-0.2)}})
    assert [each.split(":")[0] for each in sentences(two)] == ["Against untuned", "Against sft"]


def test_a_comparison_with_no_value_is_not_called_insignificant():
    empty = dict.fromkeys(("mean_difference", "ci_low", "ci_high", "p_adjusted"))
    rows = {"lfm": change(0) | empty, "sft": change(-0.2)}
    assert "lfm" not in said(rows)
    assert said({"lfm": change(0) | empty}) == "Against untuned: nothing to compare."


@pytest.mark.parametrize(
    ("metric", "change"), [("relevance", "+0.120"), ("clean_stop", "+0.12"), ("j:depth", "+0.12")]
)
def test_a_headline_rounds_as_its_column_does(metric, change):
    doubts = {"j:depth": ""} if metric == "j:depth" else None
    (made,) = headlines(results({"other": {metric: row(0.12)}}, doubts))
    assert made.findings[0].change == change
