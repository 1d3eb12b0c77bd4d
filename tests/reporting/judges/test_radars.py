"""Radars: one a scale, one polygon an arm, grey where the judge is not qualified."""

import pytest

from alignlab.reporting.arms.figures import GREY
from alignlab.reporting.arms.measures import Comparison, Measure
from alignlab.reporting.inputs import ReadAspect
from alignlab.reporting.judges.figures import COLOURS, TOGETHER, draw


def aspect(name, doubt):
    return ReadAspect(f"j:{name}", "j", name, name, None, "m", (), 0.9, doubt)


def measure(name, arms, unit="1-5", doubt="", missing=()):
    rows = {arm: {"mean": 3.0, "ci_low": 2.5, "ci_high": 3.5} for arm in range(arms)}
    rows |= {arm: dict.fromkeys(("mean", "ci_low", "ci_high")) for arm in missing}
    own = {f"arm-{arm}": row for arm, row in rows.items()}
    return Measure(name, f"j:{name}", "all", "higher", unit, aspect(name, doubt), own, {})


def drawn(measures):
    arms = list(dict.fromkeys(arm for each in measures for arm in each.own))
    return dict(draw(Comparison("j", arms, measures), "arm-0"))


def lines(figure, style="-"):
    return [line for axes in figure.axes for line in axes.lines if line.get_linestyle() == style]


def test_each_scale_of_three_aspects_or_more_has_a_radar():
    wide = [measure(name, 2) for name in "abc"]
    assert drawn(wide).keys() == {"judged-j-1-5"}
    assert drawn(wide[:2]) == {}
    ten = [measure(name, 2, unit="1-10") for name in "def"]
    assert drawn([*wide, *ten]).keys() == {"judged-j-1-5", "judged-j-1-10"}
    assert drawn([measure(name, 2, unit="points") for name in "abc"]) == {}


def test_a_few_arms_share_a_radar_and_differ_in_colour_and_marker():
    (figure,) = drawn([measure(name, TOGETHER) for name in "abcd"]).values()
    (axes,) = figure.axes
    assert [line.get_color() for line in axes.lines] == list(COLOURS)
    assert len({line.get_marker() for line in axes.lines}) == TOGETHER
    assert (axes.get_rmin(), axes.get_rmax()) == (1, 5)


@pytest.mark.parametrize("arms", [TOGETHER + 1, 20])
def test_many_arms_have_a_radar_each_with_the_baseline_behind(arms):
    (figure,) = drawn([measure(name, arms) for name in "abcd"]).values()
    assert [axes.get_title() for axes in figure.axes] == [f"arm-{arm}" for arm in range(arms)]
    assert len(lines(figure)) == len(lines(figure, ":")) == arms
    named = [axes for axes in figure.axes if any(t.get_text() for t in axes.get_xticklabels())]
    assert named == figure.axes[:1]


def test_an_unqualified_judge_is_grey_and_a_doubtful_aspect_is_marked():
    names = dict.fromkeys("abc", "cannot tell")
    (figure,) = drawn([measure(name, 2, doubt=text) for name, text in names.items()]).values()
    assert {line.get_color() for line in lines(figure)} == {GREY}
    (figure,) = drawn([measure("a", 2, doubt="no"), measure("b", 2), measure("c", 2)]).values()
    labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert labels == ["a ?", "b", "c"]
    assert {line.get_color() for line in lines(figure)} == set(COLOURS[:2])


def test_a_refused_mean_leaves_the_polygon_open_and_an_arm_without_any_is_left_out():
    measures = [measure("a", 2, missing=[1, 2]), measure("b", 2, missing=[2]), measure("c", 2)]
    (figure,) = drawn(measures).values()
    open_line = lines(figure)[1].get_ydata()
    assert [value == value for value in open_line] == [False, True, True, False]
    assert [line.get_label() for line in lines(figure)] == ["arm-0", "arm-1"]
