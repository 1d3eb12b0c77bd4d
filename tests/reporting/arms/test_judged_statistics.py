"""Scores of judges beside judge-free metrics: values, honest coverage, and what is refused."""

import numpy as np
import pytest
from arm_statistics import statistics_job
from judging_tables import judgement, measured, prompt, write

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.prompts import read_prompts
from alignlab.reporting.arms.summarise import summarise
from alignlab.reporting.arms.values import load
from alignlab.statistics.intervals import bounded_intervals

SIX = [f"q/{number}" for number in range(6)]
OUTPUTS = ("statistics", "comparisons", "breakdown", "scenarios")
MEASURE = {"label": "Depth", "metric": "j:depth", "dataset": "all", "better": "higher"}
SCENARIO = {"name": "s", "title": "S", "arms": ["a", "b"], "against": ["a"]}
SCENARIO |= {"measures": [MEASURE]}
JUDGED = {"scales": {"j:depth": [1, 5]}, "min_coverage": {"j": 0, "k": 0}}


@pytest.fixture
def study(tmp_path):
    """Run it on {arm: (metrics, judgements)}; the first arm is the baseline."""

    def run(arms, prompts=None, **spec):
        asked = [write("prompts", tmp_path / "p.parquet", prompts or map(prompt, SIX))]
        metrics, judged = {}, {}
        for arm, (measures, judgements) in arms.items():
            metrics[arm] = write("metrics", tmp_path / f"{arm}.parquet", measures)
            own = [row | {"arm": arm} for row in judgements]
            path = write("judgements", tmp_path / f"{arm}.judged.parquet", own)
            judged |= {arm: [path]} if judgements else {}
        spec = {"asked": {arm: ["q"] for arm in arms}} | JUDGED | spec
        spec = {"scenarios": [SCENARIO] if "b" in arms else []} | spec
        summarise(statistics_job(tmp_path / "out", metrics, asked, judged, **spec))
        written = [tmp_path / f"out/{name}.parquet" for name in OUTPUTS]
        return {p.stem: list(tables.rows(p.stem, p)) for p in written if p.exists()}

    return run


def only(rows, **wanted):
    (row,) = [row for row in rows if wanted.items() <= row.items()]
    return row


def depth(scores, **more):
    return [judgement(name, score, **more) for name, score in zip(SIX, scores, strict=False)]


def words(values):
    return [measured(name, value) for name, value in zip(SIX, values, strict=False)]


def test_a_judge_s_aspect_is_a_metric_with_its_scale_s_interval(study):
    found = study({"a": (words([9, 8, 7, 6, 5, 4]), depth([5, 4, 4, 3, 5, 5]))})
    row = only(found["statistics"], metric="j:depth")
    assert (row["n"], row["mean"], row["coverage"]) == (6, pytest.approx(26 / 6), 1)
    expected = bounded_intervals(np.array([[5.0, 4, 4, 3, 5, 5]]), 1, 5)[0]
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(tuple(expected))
    assert only(found["statistics"], metric="words")["mean"] == 6.5


def test_full_marks_of_every_answer_are_not_certain(study):
    row = only(study({"a": ([], depth([5] * 6))})["statistics"])
    assert row["mean"] == row["ci_high"] == 5 > row["ci_low"] > 1


def test_samples_are_averaged_over_those_that_were_scored(study):
    judged = [judgement("q/0", score, sample=i) for i, score in enumerate((1, None, 4))]
    row = only(study({"a": ([], [*judged, judgement("q/1", 4)])})["statistics"])
    assert (row["n"], row["mean"], row["coverage"]) == (2, 3.25, 1)


def test_a_judge_is_expected_to_score_what_it_was_given_and_nothing_else(study):
    found = study({"a": (words([1] * 6), depth([3, 4, None])), "b": (words([2] * 6), [])})
    row = only(found["statistics"], metric="j:depth")
    assert (row["arm"], row["n"], row["coverage"]) == ("a", 2, pytest.approx(2 / 3))
    assert [row["metric"] for row in found["comparisons"]] == ["words"]
    own = [row for row in found["scenarios"] if row["arm"] == "b" and row["against"] is None]
    assert [(row["arm"], row["n"], row["mean"]) for row in own] == [("b", 0, None)]


def test_what_an_arm_was_not_asked_is_no_gap_and_has_no_row(study):
    prompts = [prompt(name, dataset="one" if name < "q/3" else "two") for name in SIX]
    arms = {"a": (words([1, 2, 3, 4, 5, 6]), []), "b": (words([1, None, 3]), [])}
    asked = {"a": ["one", "two"], "b": ["one"]}
    found = study(arms, prompts, asked=asked, scenarios=[])
    rows = {(row["arm"], row["dataset"]): row["coverage"] for row in found["statistics"]}
    assert rows == {
        ("a", "all"): 1,
        ("a", "one"): 1,
        ("a", "two"): 1,
        ("b", "all"): pytest.approx(2 / 3),
        ("b", "one"): pytest.approx(2 / 3),
    }
    assert [row["dataset"] for row in found["comparisons"]] == ["all", "one"]


def test_judgements_of_another_arm_are_refused(tmp_path):
    asked = [write("prompts", tmp_path / "p.parquet", map(prompt, SIX))]
    metrics = {"b": write("metrics", tmp_path / "m.parquet", words([1] * 6))}
    judged = {"b": [write("judgements", tmp_path / "a.parquet", depth([1] * 6))]}
    job = statistics_job(tmp_path, metrics, asked, judged, asked={"b": ["q"]}, **JUDGED)
    with pytest.raises(AlignlabError, match="judgements of arm a, not of b"):
        summarise(job)


def test_a_mean_below_the_least_coverage_is_refused_everywhere(study):
    arms = {
        "a": (words([1] * 6), depth([3, 4, 2, 5, 3, 4])),
        "b": (words([2] * 6), depth([1, 2, 1, None, None, None])),
    }
    shown, refused = (study(arms, min_coverage={"j": share}) for share in (0.5, 0.51))
    means = [only(found["statistics"], arm="b", metric="j:depth") for found in (shown, refused)]
    assert means[0]["mean"] == pytest.approx(4 / 3)
    assert means[1] == means[0] | dict.fromkeys(("mean", "ci_low", "ci_high"))
    assert (means[1]["n"], means[1]["coverage"]) == (3, 0.5)
    changes = [only(found["comparisons"], metric="j:depth") for found in (shown, refused)]
    assert changes[0]["mean_difference"] == pytest.approx(-5 / 3)
    assert changes[1]["n"] == changes[0]["n"] == 3
    assert {changes[1][key] for key in ("mean_difference", "ci_low", "test", "p_adjusted")} == {
        None
    }
    own, compared = [row for row in refused["scenarios"] if row["arm"] == "b"]
    assert (own["n"], own["mean"], own["coverage"]) == (3, None, 0.5)
    assert (compared["n"], compared["difference"], compared["p_adjusted"]) == (3, None, None)
    for metric in ("statistics", "comparisons"):
        of_words = [
            only(found[metric], metric="words", **ARM_B[metric]) for found in (shown, refused)
        ]
        assert of_words[0] == of_words[1]


ARM_B = {"statistics": {"arm": "b"}, "comparisons": {"arm_a": "b"}}


def test_another_judge_changes_nothing(study):
    one = depth([3, 4, 2, 5, 3, 4])
    two = [row | {"judge": "k", "score": 1} for row in one]
    scales = {"j:depth": [1, 5], "k:depth": [1, 10]}
    alone, both = (study({"a": ([], judged)}, scales=scales) for judged in (one, one + two))
    assert alone["statistics"] == [row for row in both["statistics"] if row["metric"] == "j:depth"]
    assert only(both["statistics"], metric="k:depth")["mean"] == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (judgement("q/9", 3), "a.judged.parquet: prompt 'q/9', turn 0: judgements for responses"),
        (judgement("q/1", 3, turn=1), "prompt 'q/1', turn 1: judgements for responses that no"),
        (judgement("q/1", 7), "j:depth: 7 is not within 1-5"),
        (judgement("q/1", 3, aspect="tone"), "'j:tone' is none of the experiment's aspects"),
    ],
)
def test_judgements_that_fit_nothing_are_an_error(study, row, message):
    with pytest.raises(AlignlabError, match=message):
        study({"a": ([], [judgement("q/0", 3), row])})


def test_a_last_bit_beyond_the_scale_is_rounding(study):
    row = only(study({"a": ([], depth([5 + 1e-9, 5 + 1e-9]))})["statistics"])
    assert row["ci_high"] == pytest.approx(5)


def test_expected_has_the_shape_of_the_values(tmp_path):
    prompts = [prompt("q/0", turns=2), prompt("q/1", dataset="other")]
    asked = [write("prompts", tmp_path / "p.parquet", prompts)]
    metrics = {"a": write("metrics", tmp_path / "m.parquet", words([1.0, 2.0]))}
    judged = {"a": [write("judgements", tmp_path / "j.parquet", [judgement("q/0", None, turn=1)])]}
    job = statistics_job(tmp_path, metrics, asked, judged, asked={"a": ["q"]}, **JUDGED)
    values = load(job, read_prompts(asked))
    assert values.metrics == ("j:depth", "words")
    assert values.expected.shape == values.cube.shape == (1, 2, 2, 2)
    assert values.expected[0].tolist() == [
        [[False, True], [False, False]],
        [[True, True], [False, False]],
    ]
