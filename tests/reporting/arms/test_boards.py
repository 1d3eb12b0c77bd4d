"""Scenario tables in words and cells: they claim what the comparisons show, and nothing else."""

from dataclasses import replace

import pytest

from alignlab.metrics.definitions import METRICS
from alignlab.reporting import scenario_cells
from alignlab.reporting.judged import Aspect
from alignlab.reporting.scenarios import Measure, Scenario, read, sentences


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


def test_what_is_not_told_apart_comes_with_what_would_have_been_found():
    rows = {"lfm": change(-0.3), "sft": change(0.02, p=0.8), "coh": change(0.01, p=0.9, mde=0.2)}
    assert said(rows).endswith(
        "; not told apart in sft and coh"
        " (n = 80; alone, 0.20 would have been found with 80% power)."
    )
    assert said({"sft": change(0.0, mde=None)}).endswith("not told apart in sft (n = 80).")


def test_many_arms_are_counted_and_the_largest_differences_named():
    rows = {f"m{i}": change(-0.1 - i / 50) for i in range(9)}
    rows |= {f"s{i}": change(0, p=1.0) for i in range(6)}
    sentence = said(rows)
    assert sentence.startswith("Against untuned: lower (better) in m8 by 0.26")
    assert "m5" in sentence
    assert "m4" not in sentence
    assert " and 5 more; not told apart in 6 arms (" in sentence


def test_every_arm_compared_with_has_its_sentence():
    two = measure({"untuned": {"sft": change(-0.2)}, "sft": {"lfm": change(-0.2)}})
    assert [each.split(":")[0] for each in sentences(two)] == ["Against untuned", "Against sft"]


def views_of(*measures):
    return scenario_cells.views(Scenario("s", list(measures)))


def test_remarks_say_what_an_arm_is_told_apart_from():
    changes = {
        "untuned": {"sft": change(-0.2), "lfm": change(-0.3), "coh": change(0.3)},
        "sft": {"lfm": change(-0.1), "coh": change(0, p=1.0)},
    }
    (values, *others) = views_of(measure(changes))
    remarks = {arm: cell.remark for arm, (cell,) in values.rows}
    expected = {"untuned": "", "sft": "better than untuned", "coh": "worse than untuned"}
    assert remarks == expected | {"lfm": "better than both"}
    assert [view.label for view in others] == ["difference from untuned", "difference from sft"]
    assert [arm for arm, _ in others[1].rows] == ["lfm", "coh"]


def test_a_difference_is_faint_unless_told_apart_and_its_tip_names_the_test():
    changes = {"untuned": {"lfm": change(-0.3), "sft": change(0, p=1.0)}}
    cells = {arm: cell for arm, (cell,) in views_of(measure(changes))[1].rows}
    assert (cells["lfm"].faint, cells["sft"].faint) == (False, True)
    assert cells["lfm"].text == "\u22120.30"
    assert cells["lfm"].tip == (
        "80 pairs · exact McNemar, p after Holm\nfound with 80% power, alone: 0.12"
    )


def test_shares_share_the_scale_from_none_to_all_and_differences_hold_zero():
    changes = {"untuned": {"lfm": change(-0.3)}}
    values, differences = views_of(measure(changes, means={"lfm": own(0.5)}.items()))
    track = dict(values.rows)["lfm"][0].track
    assert track["at"] == pytest.approx(50)
    assert (track["low"], track["high"]) == pytest.approx((46 - 0.6, 54 + 0.6))
    track = differences.rows[0][1][0].track
    assert track["low"] == pytest.approx(4)
    assert track["zero"] == pytest.approx(96)


def test_a_value_or_interval_that_is_missing_is_a_dash_without_a_track():
    missing = dict.fromkeys(("mean", "ci_low", "ci_high")) | {"n": 0, "coverage": 0.0}
    lone = own(0.5, n=1) | {"ci_low": None, "ci_high": None}
    changes = {"untuned": {"a": change(0) | {"mean_difference": None}, "b": change(-0.3)}}
    values, differences = views_of(measure(changes, means={"a": missing, "b": lone}.items()))
    cells = {arm: cell for arm, (cell,) in values.rows}
    assert (cells["a"].text, cells["a"].track) == ("–", None)
    assert (cells["b"].text, cells["b"].range, cells["b"].track) == ("0.50", "", None)
    assert differences.rows[0][1][0].text == "–"


DOUBTED = Aspect("j:depth", "j", "depth", "Depth", None, "m", (), 0.9, "cannot tell")


def test_nothing_is_stated_where_the_judge_is_not_believed():
    changes = {"untuned": {"lfm": change(-0.3)}}
    doubted = measure(changes, aspect=DOUBTED)
    assert sentences(doubted) == ["Not stated, since its judge is not qualified: cannot tell."]
    values, differences = views_of(doubted)
    assert {cell.remark for _, (cell,) in values.rows} == {""}
    assert all(cell.faint for view in (values, differences) for _, (cell,) in view.rows)


def test_a_refused_mean_is_its_coverage_and_an_arm_that_was_not_asked_a_dash():
    refused = dict.fromkeys(("mean", "ci_low", "ci_high")) | {"n": 50, "coverage": 0.629}
    unasked = refused | {"n": 0, "coverage": None}
    changes = {"untuned": {"a": change(0), "b": change(0)}}
    means = {"a": refused, "b": unasked}.items()
    values = views_of(measure(changes, means=means, aspect=replace(DOUBTED, doubt="")))[0]
    cells = {arm: cell for arm, (cell,) in values.rows}
    assert (cells["a"].text, cells["a"].remark) == ("", "coverage 62%")
    assert cells["a"].tip == "the judge scored 62% of the answers; a mean needs 90%"
    assert (cells["b"].text, cells["b"].remark) == ("–", "")


def test_a_measure_that_lacks_an_arm_has_a_dash_in_its_row():
    first = measure({"untuned": {"lfm": change(-0.3), "sft": change(-0.1)}})
    second = measure({"untuned": {"lfm": change(-0.3)}})
    values, differences = views_of(first, second)
    assert [arm for arm, _ in values.rows] == ["untuned", "lfm", "sft"]
    assert dict(values.rows)["sft"][1].text == "–"
    assert dict(differences.rows)["sft"][0].text != "–"
    assert dict(differences.rows)["sft"][1].text == "–"


def test_a_comparison_with_no_value_is_not_called_not_told_apart():
    empty = dict.fromkeys(("mean_difference", "ci_low", "ci_high", "p_adjusted"))
    rows = {"lfm": change(0) | empty, "sft": change(-0.2)}
    assert "lfm" not in said(rows)
    assert said({"lfm": change(0) | empty}) == "Against untuned: nothing to compare."


def test_reading_keeps_the_order_of_the_experiment(study):
    attack, red_team = read(study.inputs.scenarios, METRICS, {})
    wanted = study.arguments["spec"]["scenarios"]
    assert attack.arms == wanted[0]["arms"]
    assert attack.against == wanted[0]["against"]
    assert [each.label for each in attack.measures] == [m["label"] for m in wanted[0]["measures"]]
    assert attack.measures[0].prompts == "hijack-same, n\u00a0=\u00a080"
    assert (red_team.name, red_team.arms) == ("red-team", wanted[1]["arms"])
