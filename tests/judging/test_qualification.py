"""Qualification: areas, shares and correlations by hand, and the verdict that a report shows."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from judging_tables import judgement, preference, prompt, qualification_spec, write
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from alignlab.core import tables
from alignlab.core.schemas import COLUMNS
from alignlab.judging.qualification import (
    MEASURES,
    QualificationJob,
    alpha,
    kappa,
    qualify,
    spearman,
    status,
)

NEEDS = {"j": {"judge/quality": {"depth": ["shuffled-words"]}}}
NAMES = [f"q/{i}" for i in range(30)]
DICE = np.random.default_rng(3)
GOOD, BAD = DICE.integers(3, 6, 30), DICE.integers(1, 4, 30)
NOISE = DICE.integers(1, 6, (2, 30))


@pytest.fixture
def rows(tmp_path):
    """Rows of the table, from rows of the tables that it is made of."""

    def run(needs=NEEDS, controls=(), itself=(), arms=None, words=(), clusters=None):
        paths = {}
        for judge in needs:
            of_judge = [row for row in controls if row["judge"] == judge]
            if of_judge:
                paths[judge] = [write("judgements", tmp_path / f"{judge}.c.parquet", of_judge)]
        scored = {
            judge: [write("judgements", tmp_path / f"{judge}.a.parquet", found)]
            for judge, found in (arms or {}).items()
        }
        answers = [
            {"arm": "a", "prompt_id": name, "turn": 0, "sample": 0, "num_words": int(count)}
            for name, count in zip(NAMES, words, strict=False)
        ]
        responses = {"a": write("responses", tmp_path / "r.parquet", answers)}
        asked = [prompt(n, turns=3) | {"cluster": (clusters or {}).get(n)} for n in NAMES]
        duels = {"j": [write("preferences", tmp_path / "i.parquet", itself)]}
        job = QualificationJob(
            spec=qualification_spec(needs=needs),
            controls=paths,
            judgements=scored,
            preferences=duels,
            responses=responses,
            prompts=[write("prompts", tmp_path / "p.parquet", asked)],
            output=tmp_path,
        )
        qualify(job)
        output = tmp_path / "qualification.parquet"
        assert tables.spec_of(output) == job.spec.signed
        assert output.with_suffix(".csv").exists()
        return list(tables.rows("qualification", output))

    return run


def scored(arm, scores, **more):
    return [
        judgement(name, None if np.isnan(score) else float(score), arm=arm, **more)
        for name, score in zip(NAMES, scores, strict=False)
    ]


def only(rows, check, **more):
    (row,) = [row for row in rows if (more | {"check": check}).items() <= row.items()]
    return row


def test_a_control_s_value_is_the_area_under_the_curve(rows):
    found = rows(controls=scored("original", GOOD) + scored("shuffled-words", BAD))
    row = only(found, "shuffled-words")
    assert row.keys() == COLUMNS["qualification"].keys()
    area = stats.mannwhitneyu(GOOD, BAD).statistic / 30**2
    assert (row["n"], row["value"], row["against"]) == (30, pytest.approx(area), "shuffled-words")
    assert 0.5 < row["ci_low"] < area < row["ci_high"] <= 1
    assert row["passed"]
    assert status(found, "j", "depth") == (True, "passed every control")


def test_only_answers_with_both_scores_count_and_a_prompt_s_pair_stays_together(rows):
    holed = np.where(np.arange(30) % 3, GOOD, np.nan)
    found = rows(controls=scored("original", holed) + scored("shuffled-words", BAD[:20]))
    kept = [i for i in range(20) if i % 3]
    area = stats.mannwhitneyu(GOOD[kept], BAD[kept]).statistic / len(kept) ** 2
    row = only(found, "shuffled-words")
    assert (row["n"], row["value"]) == (len(kept), pytest.approx(area))
    # A prompt moves both its scores: an area of pairs that differ little has a short interval.
    levels = np.arange(30) / 10
    close = rows(controls=scored("original", levels) + scored("shuffled-words", levels - 0.001))
    apart = rows(controls=scored("original", levels) + scored("shuffled-words", levels[::-1]))
    width = [
        r["ci_high"] - r["ci_low"] for r in (only(x, "shuffled-words") for x in (close, apart))
    ]
    assert width[0] < width[1] / 2


def test_a_judge_that_rates_at_random_is_shown_as_such(rows):
    found = rows(controls=scored("original", NOISE[0]) + scored("shuffled-words", NOISE[1]))
    row = only(found, "shuffled-words")
    assert row["ci_low"] < 0.5 < row["ci_high"]
    assert row["passed"] is False
    qualified, reason = status(found, "j", "depth")
    assert qualified is False
    interval = f"{row['value']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
    assert reason == f"cannot tell an answer from its own words shuffled (AUC {interval})"


def test_few_prompts_that_are_all_told_apart_do_not_qualify_a_judge(rows):
    for count, passed in ((2, False), (3, False), (12, True)):
        controls = scored("original", [5] * count) + scored("shuffled-words", [1] * count)
        row = only(rows(controls=controls), "shuffled-words")
        assert (row["value"], row["ci_high"], row["passed"]) == (1, 1, passed)


def test_a_control_that_the_rubric_does_not_list_is_for_information(rows):
    controls = (
        scored("original", GOOD) + scored("shuffled-words", BAD) + scored("other-answer", GOOD)
    )
    found = rows(controls=controls)
    assert only(found, "other-answer")["passed"] is None
    assert only(found, "other-answer")["value"] == 0.5
    assert status(found, "j", "depth")[0] is True
    assert not [row for row in found if row["check"] == "first-words"]


def test_a_refusal_stands_against_a_compliance(rows):
    needs = {"j": {"judge/safety": {"safety": ["refusal-or-compliance"]}}}
    more = {"rubric": "judge/safety", "aspect": "safety"}
    for safe, unsafe, passed in ((GOOD, BAD, True), (BAD, GOOD, False)):
        found = rows(needs, scored("refusal", safe, **more) + scored("compliance", unsafe, **more))
        row = only(found, "refusal-or-compliance")
        assert (row["against"], row["passed"]) == ("compliance", passed)
    assert status(found, "j", "safety")[1].startswith("cannot tell a refusal from a compliant")


def test_untried_is_neither_passed_nor_failed(rows):
    assert status(rows(), "j", "depth") == (None, "not tried")
    assert status([], "j", "depth") == (None, "not tried")
    unscored = [np.nan] * 30
    found = rows(controls=scored("original", unscored) + scored("shuffled-words", unscored))
    assert only(found, "shuffled-words")["n"] == 0
    assert status(found, "j", "depth") == (None, "not tried")
    assert status(found, "j", "clarity") == (None, "not tried")


def test_one_listed_control_that_could_not_be_tried_leaves_a_judge_unqualified(rows):
    needs = {"j": {"judge/quality": {"depth": ["shuffled-words", "first-words"]}}}
    found = rows(needs, scored("original", GOOD) + scored("shuffled-words", BAD))
    reason = "was not asked to tell an answer from its own first words"
    assert status(found, "j", "depth") == (False, reason)


def test_asking_again_is_a_share_of_equal_scores_or_deterministic(rows):
    again = np.where(np.arange(30) < 24, GOOD, GOOD - 1)
    found = rows(controls=scored("original", GOOD) + scored("again", again))
    assert only(found, "repeat")["value"] == pytest.approx(0.8)
    assert only(found, "repeat")["passed"] is None
    alone = only(rows(controls=scored("original", GOOD)), "repeat")
    assert (alone["value"], alone["n"]) == (None, 0)
    assert alone["note"].startswith("deterministic")


def test_mass_and_length_describe_the_scores_of_arms(rows):
    judged = [row | {"mass": 0.5 + 0.01 * i} for i, row in enumerate(scored("a", GOOD))]
    found = rows(arms={"j": judged}, words=100 * GOOD + NOISE[0])
    assert only(found, "mass")["value"] == pytest.approx(np.mean([r["mass"] for r in judged]))
    length = only(found, "length")
    assert length["value"] == pytest.approx(stats.spearmanr(GOOD, 100 * GOOD + NOISE[0]).statistic)
    assert 0.5 < length["ci_low"] <= length["value"] <= length["ci_high"] <= 1
    assert {row["passed"] for row in found} == {None}


def test_position_is_what_the_first_place_is_worth(rows):
    same = {"arm_a": "a", "arm_b": "a"}
    cases = [("a", "b")] * 6 + [("b", "a")] * 2 + [("tie", "tie")] * 2 + [("a", None)]
    itself = [
        preference(f"q/{i}", None, verdict_ab=ab, verdict_ba=ba, **same)
        for i, (ab, ba) in enumerate(cases)
    ]
    row = only(rows(itself=[*itself, preference("q/1", "a")]), "position")
    # Of 11 prompts 7 favour the first place and 2 the second.
    assert (row["n"], row["value"]) == (11, pytest.approx(5 / 11))
    assert (row["rubric"], row["aspect"], row["against"]) == ("judge/pairwise", "overall", "a")
    fair = [preference(f"q/{i}", "ab"[i % 2], **same) for i in range(20)]
    row = only(rows(itself=fair), "position")
    assert row["value"] == 0
    assert row["passed"] is None


def test_judges_that_scored_the_same_answers_by_the_same_rubric_are_compared(rows):
    needs = NEEDS | {"k": NEEDS["j"], "l": {"judge/harm": {"depth": []}}}
    ours = scored("a", GOOD) + scored("b", BAD)
    theirs = scored("a", GOOD - 1, judge="k") + scored("c", BAD, judge="k")
    others = scored("a", GOOD, judge="l", rubric="judge/harm")
    found = rows(needs, arms={"j": ours, "k": theirs, "l": others})
    one, other = (
        {row["check"]: row for row in found if (row["judge"], row["against"]) == pair}
        for pair in (("j", "k"), ("k", "j"))
    )
    assert one.keys() == other.keys() == {"spearman", "kappa", "alpha"}
    assert one["spearman"]["value"] == pytest.approx(1)
    assert one["kappa"]["value"] < 0.8
    for name, row in one.items():
        assert row["n"] == 30
        assert row["value"] == pytest.approx(other[name]["value"])
        assert row["ci_low"] - 1e-9 <= row["value"] <= row["ci_high"] + 1e-9
    assert not [row for row in found if "l" in (row["judge"], row["against"])]


# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section A: Meg and Owen.
MEG = np.array([0, 1, 0, 0, 0, 0, 0, 0, 1, 0.0])
OWEN = np.array([1, 1, 1, 0, 0, 1, 0, 0, 0, 0.0])
RATINGS = arrays(float, st.tuples(st.just(2), st.integers(4, 40)), elements=st.integers(1, 5))


QUICK = settings(max_examples=30, deadline=None)


def alpha_by_coincidences(ours, theirs):
    """The definition, from the matrix of coincidences."""
    levels = np.unique([ours, theirs])
    coincidences = np.zeros((len(levels), len(levels)))
    for a, b in zip(np.searchsorted(levels, ours), np.searchsorted(levels, theirs), strict=True):
        coincidences[a, b] += 1
        coincidences[b, a] += 1
    counts = coincidences.sum(axis=0)
    distance = np.zeros_like(coincidences)
    for c in range(len(levels)):
        for k in range(c, len(levels)):
            between = counts[c : k + 1].sum() - (counts[c] + counts[k]) / 2
            distance[c, k] = distance[k, c] = between**2
    expected = (np.outer(counts, counts) * distance).sum() / (counts.sum() - 1)
    return 1 - (coincidences * distance).sum() / expected


def test_alpha_of_the_published_example():
    assert alpha(MEG, OWEN) == pytest.approx(0.095, abs=5e-4)


@QUICK
@given(RATINGS)
def test_alpha_is_krippendorff_s_ordinal_one(ratings):
    assume(np.ptp(ratings) > 0)
    assert alpha(*ratings) == pytest.approx(alpha_by_coincidences(*ratings))


@QUICK
@given(RATINGS)
def test_kappa_is_the_familiar_one_on_whole_scores(ratings):
    assume(np.ptp(ratings) > 0)
    ours, theirs = ratings.astype(int)
    expected = cohen_kappa_score(ours, theirs, labels=range(1, 6), weights="quadratic")
    assert kappa(*ratings) == pytest.approx(expected)


@QUICK
@given(RATINGS)
def test_spearman_is_scipy_s(ratings):
    assume((np.ptp(ratings, axis=1) > 0).all())
    assert spearman(*ratings) == pytest.approx(stats.spearmanr(*ratings).statistic)


@pytest.mark.parametrize("name", MEASURES)
def test_ends_order_and_what_cannot_be_said(name):
    measure = MEASURES[name]
    scores = np.array([1.0, 2.5, 2.5, 4, 5])
    assert measure(scores, scores) == pytest.approx(1)
    assert measure(scores, 6 - scores) < -0.5
    assert measure(scores, scores[::-1]) == pytest.approx(measure(scores[::-1], scores))
    assert np.isnan(measure(np.full(5, 3.0), np.full(5, 3.0)))


def test_ranks_do_not_see_a_harsher_judge_and_kappa_does():
    scores = np.array([2.0, 3, 4, 5, 5, 2])
    assert spearman(scores, scores - 1) == pytest.approx(1)
    assert kappa(scores, scores - 1) < 0.8


def test_prompts_of_a_cluster_are_resampled_together(rows):
    alike = [np.repeat(scores[:10], 3) for scores in NOISE]
    controls = [*scored("original", alike[0]), *scored("other-answer", alike[1])]
    controls += scored("again", np.where(np.arange(30) < 15, alike[0], 9))
    clusters = {name: f"c{place // 3}" for place, name in enumerate(NAMES)}
    alone, together = (rows(controls=controls, clusters=each) for each in (None, clusters))
    compared = [
        (one, other)
        for one, other in zip(alone, together, strict=True)
        if one["ci_low"] is not None
    ]
    assert {one["check"] for one, _ in compared} >= {"other-answer", "repeat"}
    for one, other in compared:
        assert (other["n"], other["value"]) == (one["n"], one["value"])
        assert other["ci_high"] - other["ci_low"] > 1.2 * (one["ci_high"] - one["ci_low"])
