"""Boards claim what the comparisons show, and nothing else."""

from dataclasses import replace

import pytest
from synthetic import ARMS, make_study

from alignlab.core import tables
from alignlab.core.schemas import COLUMNS
from alignlab.metrics.definitions import METRICS
from alignlab.reporting import inputs
from alignlab.reporting.arms.boards import boards, breakdown, contrast, heads, leaderboard, slices
from alignlab.reporting.arms.measures import (
    Comparison,
    Measure,
    headlines,
    measures_by_metric,
    measures_in,
    read_contrasts,
    read_scenarios,
    sentences,
)
from alignlab.reporting.board import RowHead
from alignlab.reporting.inputs import ReadAspect


def own(mean, n=80):
    row = {"n": n, "clusters": n, "mean": mean, "coverage": 1.0, "arm": "?"}
    return row | {"ci_low": mean - 0.05, "ci_high": mean + 0.05}


def change(difference, half=0.05, p=0.01, mde=0.12):
    found = {"mean_difference": difference, "ci_low": difference - half}
    found |= {
        "ci_high": difference + half,
        "p_adjusted": p,
        "n": 80,
        "clusters": 80,
        "test": "mid-p McNemar",
    }
    return found | {"minimum_detectable_effect": mde}


def measure(changes, metric="hijacked", better="lower", means=(), aspect=None):
    arms = dict.fromkeys(arm for rows in changes.values() for arm in (*rows,))
    values = {**{arm: own(0.4) for arm in ("untuned", *arms)}, **dict(means)}
    rows = {arm: row | {"arm": arm} for arm, row in values.items()}
    return Measure("Attack", metric, "attacks", better, "share", aspect, rows, changes)


def boards_of(*measures, **settings):
    arms = dict.fromkeys(arm for each in measures for arm in each.own)
    comparison = Comparison("s", list(arms), measures)
    return boards(comparison, {arm: RowHead(arm) for arm in arms}, **settings)


def cells_of(board, column=0):
    return {head.name: cells[column] for head, cells in board.rows}


def remark(cell):
    return dict(cell.lines).get("remark", "")


def test_remarks_and_marks_say_what_an_arm_differs_from():
    changes = {
        "untuned": {"sft": change(-0.2), "lfm": change(-0.3), "coh": change(0.3)},
        "sft": {"lfm": change(-0.1), "coh": change(0, p=1.0)},
    }
    (values, *others) = boards_of(measure(changes))
    remarks = {arm: remark(cell) for arm, cell in cells_of(values).items()}
    expected = {"untuned": "", "sft": "better than untuned", "coh": "worse than untuned"}
    assert remarks == expected | {"lfm": "better than both"}
    marks = {arm: cell.marks for arm, cell in cells_of(values).items()}
    assert marks == {"untuned": "  ", "sft": "* ", "coh": "* ", "lfm": "*+"}
    assert [board.label for board in others] == ["difference from untuned", "difference from sft"]
    assert [*cells_of(others[1])] == ["lfm", "coh"]


def test_a_difference_is_faint_unless_significant_and_its_tip_names_the_test():
    changes = {"untuned": {"lfm": change(-0.3), "sft": change(0, p=1.0)}}
    cells = cells_of(boards_of(measure(changes))[1])
    assert (cells["lfm"].classes, cells["sft"].classes) == ("significant", "faint")
    assert cells["lfm"].text == "\u22120.30"
    assert cells["lfm"].tip == (
        "80 pairs · mid-p McNemar, p after Holm\n"
        "minimum detectable effect 0.12 at 80% power, unadjusted"
    )


def test_shares_share_the_scale_from_none_to_all_and_differences_hold_zero():
    changes = {"untuned": {"lfm": change(-0.3)}}
    values, differences = boards_of(measure(changes, means={"lfm": own(0.5)}.items()))
    track = cells_of(values)["lfm"].track
    assert track["at"] == pytest.approx(50)
    assert (track["low"], track["high"]) == pytest.approx((46 - 0.6, 54 + 0.6))
    track = differences.rows[0][1][0].track
    assert track["low"] == pytest.approx(4)
    assert track["zero"] == pytest.approx(96)


def test_a_value_or_interval_that_is_missing_is_a_dash_without_a_track():
    missing = dict.fromkeys(("mean", "ci_low", "ci_high")) | {"n": 0, "coverage": 0.0}
    lone = own(0.5, n=1) | {"ci_low": None, "ci_high": None}
    changes = {"untuned": {"a": change(0) | {"mean_difference": None}, "b": change(-0.3)}}
    values, differences = boards_of(measure(changes, means={"a": missing, "b": lone}.items()))
    cells = cells_of(values)
    assert (cells["a"].text, cells["a"].track) == ("–", {})
    assert (cells["b"].text, cells["b"].range, cells["b"].track) == ("0.50", "", {})
    assert differences.rows[0][1][0].text == "–"


DOUBTED = ReadAspect("j:depth", "j", "depth", "Depth", None, "m", (), 0.9, "cannot tell")


def test_nothing_is_stated_where_the_judge_is_not_qualified():
    changes = {"untuned": {"lfm": change(-0.3)}}
    doubted = measure(changes, aspect=DOUBTED)
    assert sentences(doubted) == ["Not stated, since its judge is not qualified: cannot tell."]
    values, differences = boards_of(doubted)
    assert {(remark(cell), cell.marks.strip()) for cell in cells_of(values).values()} == {("", "")}
    shown = [*cells_of(values).values(), *cells_of(differences).values()]
    assert {cell.classes for cell in shown} == {"faint"}
    assert all(cell.tip.endswith("? cannot tell") for cell in shown)
    assert values.columns[0].classes == "untrusted"


def test_a_refused_mean_is_its_coverage_and_an_arm_that_was_not_asked_a_dash():
    refused = dict.fromkeys(("mean", "ci_low", "ci_high")) | {
        "n": 50,
        "clusters": 50,
        "coverage": 0.629,
    }
    unasked = refused | {"n": 0, "coverage": None}
    changes = {"untuned": {"a": change(0), "b": change(0)}}
    means = {"a": refused, "b": unasked}.items()
    values = boards_of(measure(changes, means=means, aspect=replace(DOUBTED, doubt="")))[0]
    cells = cells_of(values)
    assert (cells["a"].text, cells["a"].lines) == ("", [("share", "coverage 62%")])
    assert cells["a"].tip == "the judge scored 62% of the answers; a mean needs 90%"
    assert (cells["b"].text, cells["b"].lines) == ("–", ())


def test_a_measure_that_lacks_an_arm_has_a_dash_in_its_row():
    first = measure({"untuned": {"lfm": change(-0.3), "sft": change(-0.1)}})
    second = measure({"untuned": {"lfm": change(-0.3)}})
    values, differences = boards_of(first, second)
    assert [*cells_of(values)] == ["untuned", "lfm", "sft"]
    assert cells_of(values, 1)["sft"].text == "–"
    assert cells_of(differences)["sft"].text != "–"
    assert cells_of(differences, 1)["sft"].text == "–"


def test_reading_keeps_the_order_of_the_experiment(study):
    attack, red_team = read_scenarios(study.job.scenarios, METRICS, {})
    wanted = study.job.spec.scenarios
    assert tuple(attack.arms) == wanted[0].arms
    assert tuple(attack.against) == wanted[0].against
    assert [each.label for each in attack.measures] == [m.label for m in wanted[0].measures]
    assert attack.measures[0].prompts == "hijack-same, n\u00a0=\u00a080"
    assert (red_team.name, tuple(red_team.arms)) == ("red-team", wanted[1].arms)


def test_a_contrast_has_a_row_for_each_difference_and_each_test_once(study):
    claim, nothing = read_contrasts(study.job.contrasts, METRICS, {})
    results = inputs.read(study.job)
    board = contrast(claim, heads(results.arms, results.baseline))
    *_, first, second = results.names
    pairs = [f"{arm} \u2212 {against}" for against in results.names[:2] for arm in (first, second)]
    assert [head.name for head, _ in board.rows] == pairs
    rows = tables.rows("contrasts", study.job.contrasts)
    shown = [cell for _, cells in board.rows for cell in cells if cell.text != "–"]
    assert len(shown) == sum(row["contrast"] == "the-claim" and row["n"] > 0 for row in rows) > 0
    assert all("p after Holm" in cell.tip for cell in shown)
    (empty,) = nothing.measures
    assert empty.prompts == "all prompts, n\u00a0=\u00a00"


def test_a_contrast_on_refusals_has_the_direction_of_its_category(tmp_path):
    row = dict.fromkeys(COLUMNS["contrasts"]) | change(0.3)
    row |= {"contrast": "c", "arm_a": "lfm", "arm_b": "sft", "dataset": "all", "metric": "refusal"}
    rows = [row | {"category": kind} for kind in ("regular", "safety")]
    tables.write("contrasts", tmp_path / "contrasts.parquet", rows, {"digest": "d"})
    (found,) = read_contrasts(tmp_path / "contrasts.parquet", METRICS, {})
    assert [(each.label, each.better) for each in found.measures] == [
        ("Refuses, regular", "lower"),
        ("Refuses, safety", "higher"),
    ]
    worse, better = (sentences(each) for each in found.measures)
    assert "(worse)" in worse[0]
    assert "(better)" in better[0]


def test_the_best_mean_is_marked_on_the_leaderboard_only_where_a_direction_is_defined():
    means = {"untuned": own(0.2), "lfm": own(0.204), "sft": own(0.4)}.items()
    changes = {"untuned": {"lfm": change(0, p=1.0), "sft": change(0.2)}}

    def best(leaderboard=True, **settings):
        found = boards_of(measure(changes, means=means, **settings), leaderboard=leaderboard)
        return [arm for arm, cell in cells_of(found[0]).items() if cell.classes == "best"]

    assert best() == ["untuned", "lfm"]  # the same as shown
    assert best(better="higher") == ["sft"]
    assert best(better="none") == best(aspect=DOUBTED) == best(leaderboard=False) == []


def test_a_judge_s_own_model_is_warned_of_and_coverage_is_shown_below_one():
    aspect = replace(DOUBTED, doubt="", own_arms=("lfm",))
    part = own(0.4) | {"coverage": 0.999}
    changes = {"untuned": {"lfm": change(-0.3)}}
    made = boards_of(measure(changes, means={"lfm": part}.items(), aspect=aspect))
    assert all(cells_of(board)["lfm"].tip.endswith("favour itself") for board in made)
    assert ("share", "99% covered") in cells_of(made[0])["lfm"].lines
    assert "share" not in dict(cells_of(made[0])["untuned"].lines)


def test_each_set_of_prompts_is_one_slice(study):
    results = inputs.read(study.job)
    # mt-bench is all the regular prompts and strict all the safety ones.
    assert [(label, prompts) for label, prompts, _ in slices(results)] == [
        ("all prompts", 36),
        ("mt-bench", 24),
        ("strict", 12),
    ]
    shown = leaderboard(results, heads(results.arms, results.baseline))
    assert [panel.choices for panel in shown.panels[:2]] == [
        ("all prompts (36)", "values"),
        ("all prompts (36)", "difference from zero-shot"),
    ]
    assert [len(panel.board.rows) for panel in shown.panels] == [7, 6] * 3
    assert shown.more == ("main", f"all {len(results.metrics)}")


def test_a_group_that_mixes_categories_has_a_line_for_each(study, tmp_path):
    row = own(0.5) | {"arm": "urial", "metric": "refusal", "by": "tag", "group": "all"}
    rows = [row | {"category": kind} for kind in ("regular", "safety")]
    rows.append(row | {"group": "one", "category": "all"})
    tables.write("breakdown", tmp_path / "breakdown.parquet", rows, {})
    (panel,) = breakdown(tmp_path / "breakdown.parquet", inputs.read(study.job)).panels
    assert [head.name for head, _ in panel.board.rows] == ["all, regular", "all, safety", "one"]


@pytest.mark.parametrize(
    ("regular", "safety", "better"), [(0, 6, "higher"), (6, 0, "lower")], ids=["safety", "regular"]
)
def test_refusals_have_a_direction_where_all_prompts_are_of_one_category(
    tmp_path, regular, safety, better
):
    made = make_study(tmp_path, regular=regular, safety=safety, arms=ARMS[:2])
    results = inputs.read(made.job)
    kind = "safety" if safety else "regular"
    only = replace(
        results,
        estimates={key: rows for key, rows in results.estimates.items() if key[1] != kind},
    )
    for measured in (measures_in(only), slices(only)[0][2]):
        found = [(m.label, m.better) for m in measured if m.metric == "refusal"]
        assert found == [("Refuses", better)]


def test_refusals_are_shown_by_category_with_its_own_direction_and_never_pooled(study):
    results = inputs.read(study.job)
    for made in (measures_in(results), measures_in(results, "all", "safety")):
        found = {measure.label: measure.better for measure in made if measure.metric == "refusal"}
        pooled = {"Refuses, regular": "lower", "Refuses, safety": "higher"}
        assert found == (pooled if len(found) > 1 else {"Refuses": "higher"})
    (strict,) = (found for label, _, found in slices(results) if label == "strict")
    found = {measure.label: measure.better for measure in strict if measure.metric == "refusal"}
    assert found == {"Refuses": "higher"}
    names = [measure.metric for measure in measures_by_metric(results)]
    assert len(names) == len(set(names))
    assert "refusal" in names
    labels = {headline.label for headline in headlines(results)}
    assert {label for label in labels if "Refuses" in label} == {
        "Refuses, regular",
        "Refuses, safety",
    }
