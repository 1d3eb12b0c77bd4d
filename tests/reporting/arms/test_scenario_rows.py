"""Scenario tables: the same means and tests as elsewhere, on the measures and pairs asked for."""

from dataclasses import replace

import numpy as np
import pytest
from arm_statistics import statistics_job

from alignlab.core import schemas, tables
from alignlab.core.errors import AlignlabError
from alignlab.learning.config import ScenarioConfig
from alignlab.reporting.arms.summarise import pairs, scenario_rows, summarise
from alignlab.reporting.arms.values import Values
from alignlab.statistics import estimates, paired

ARMS = ("untuned", "sft", "lfm", "other")
PROMPTS = 40


def measure(metric="hijacked", dataset="attacks", better="lower", **more):
    found = {"label": f"{metric} on {dataset}", "metric": metric, "dataset": dataset}
    return found | {"better": better} | more


def scenario(**changes):
    found = {"name": "attack", "title": "An attack", "arms": ARMS[:3]}
    return found | {"against": ("untuned", "sft"), "measures": [measure()]} | changes


@pytest.fixture
def values():
    """Attacks succeed in 30, 20 and 5 of 40 answers; `words` is a number; half is of `others`."""
    dice = np.random.default_rng(4)
    hijacked = np.full((4, PROMPTS), np.nan)
    for arm, successes in enumerate((30, 20, 5)):
        hijacked[arm] = np.arange(PROMPTS) < successes
    words = dice.normal(100, 10, (4, PROMPTS))
    return Values(
        arms=ARMS,
        metrics=("hijacked", "words"),
        cube=np.stack([hijacked, words], axis=1)[..., None],
        expected=np.ones((4, 2, PROMPTS, 1), dtype=bool),
        datasets=np.array(["attacks", "others"] * (PROMPTS // 2)),
        categories=np.array(["safety"] * PROMPTS),
        clusters=np.arange(PROMPTS),
    )


def rows_of(values, *scenarios):
    asked = [ScenarioConfig.model_validate(each) for each in scenarios]
    return list(scenario_rows(values, asked, seed=0))


def row_of(rows, arm, against=None):
    (row,) = [row for row in rows if (row["arm"], row["against"]) == (arm, against)]
    return row


def test_every_two_arms_are_compared_once():
    assert pairs(("a", "b", "c"), ("a",)) == [("b", "a"), ("c", "a")]
    assert pairs(("a", "b", "c"), ("a", "b")) == [("b", "a"), ("c", "a"), ("c", "b")]
    assert pairs(("b", "c"), ("a", "b")) == [("b", "a"), ("c", "a"), ("c", "b")]


def test_rows_are_the_schema_s_in_the_order_of_the_experiment(values):
    rows = rows_of(values, scenario(measures=[measure(), measure("words", "all", "none")]))
    assert all(row.keys() == schemas.COLUMNS["scenarios"].keys() for row in rows)
    of_measure = [("untuned", None), ("sft", None), ("lfm", None)]
    of_measure += [("sft", "untuned"), ("lfm", "untuned"), ("lfm", "sft")]
    assert [(row["arm"], row["against"]) for row in rows] == 2 * of_measure
    assert [row["metric"] for row in rows] == ["hijacked"] * 6 + ["words"] * 6


def test_a_measure_counts_the_prompts_of_its_dataset(values):
    rows = rows_of(values, scenario(measures=[measure(dataset="attacks")]))
    own = row_of(rows, "sft")
    assert (own["n"], own["mean"], own["coverage"]) == (20, 0.5, 1)
    assert own["difference"] is own["p_adjusted"] is None
    assert own["ci_low"] < 0.5 < own["ci_high"]
    rows = rows_of(values, scenario(measures=[measure(dataset="all")]))
    assert row_of(rows, "lfm")["mean"] == 5 / 40


def test_a_difference_is_that_of_the_paired_values_with_its_test(values):
    row = row_of(rows_of(values, scenario()), "lfm", "untuned")
    assert row["difference"] == pytest.approx(
        row_of(rows_of(values, scenario()), "lfm")["mean"] - 0.75
    )
    assert row["difference_low"] < row["difference"] < row["difference_high"] < 0
    assert row["test"] == paired.MCNEMAR
    # 12 prompts are lost and none is won.
    assert row["p_value"] == pytest.approx(0.5**12)
    assert row["mean"] is row["coverage"] is None


def test_holm_s_family_is_every_comparison_of_one_scenario_s_measure(values):
    measures = [measure(), measure("words", "all", "none")]
    rows = rows_of(values, scenario(measures=measures), scenario(name="again", measures=measures))
    for name in ("attack", "again"):
        for metric in ("hijacked", "words"):
            family = [
                row
                for row in rows
                if (row["scenario"], row["metric"]) == (name, metric) and row["against"]
            ]
            assert len(family) == 3
            raw = np.array([row["p_value"] for row in family])
            assert [row["p_adjusted"] for row in family] == pytest.approx(paired.holm(raw))


def test_a_measure_may_be_of_one_category(values):
    kinds = np.repeat(["regular", "safety"], PROMPTS // 2)
    values = replace(values, categories=kinds)
    row = row_of(
        rows_of(values, scenario(measures=[measure(dataset="all", category="safety")])), "untuned"
    )
    assert (row["category"], row["n"], row["mean"]) == ("safety", 20, 0.5)
    whole = row_of(rows_of(values, scenario(measures=[measure(dataset="all")])), "untuned")
    assert (whole["category"], whole["n"], whole["mean"]) == ("all", 40, 0.75)


def test_a_share_of_none_is_not_certain_and_another_scenario_changes_nothing(values):
    values.cube[2, 0] = 0
    rows = rows_of(values, scenario())
    none = row_of(rows, "lfm")
    assert (none["mean"], none["ci_low"]) == (0, 0)
    assert none["ci_high"] > 0.1
    assert rows == rows_of(values, scenario(), scenario(name="x", arms=("lfm", "sft")))[: len(rows)]


def test_an_arm_without_values_has_rows_that_say_so(values):
    rows = rows_of(values, scenario(arms=("untuned", "other")))
    own, compared = row_of(rows, "other"), row_of(rows, "other", "untuned")
    assert (own["n"], own["mean"], own["coverage"]) == (0, None, 0)
    assert (compared["n"], compared["difference"], compared["p_adjusted"]) == (0, None, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measures": [measure("hijakced")]}, "attack, measure 'hijakced on attacks': no answer"),
        ({"measures": [measure(dataset="atacks")]}, "no prompt is from 'atacks'; datasets are att"),
        ({"measures": [measure(category="regular")]}, "no prompt of 'attacks' is of category 'reg"),
        ({"arms": ("untuned", "lmf")}, "attack: 'lmf' is not one of untuned, sft, lfm, other"),
        ({"against": ("base",)}, "attack: 'base' is not one of"),
    ],
)
def test_what_is_not_there_is_named(values, changes, message):
    with pytest.raises(AlignlabError, match=message):
        rows_of(values, scenario(**changes))


def test_summarise_writes_the_table_and_its_means_agree_with_statistics(tmp_path):
    empty = dict.fromkeys(("reference", "mistake", "target"))
    common = {"dataset": "q", "category": "regular", "source": "", "turns": ["?"], "tags": []}
    asked = [{"prompt_id": f"q/{i}", **common, **empty} for i in range(9)]
    tables.write("prompts", tmp_path / "p.parquet", asked, {})
    for place, arm in enumerate(ARMS[:2]):
        cells = [{"arm": arm, "prompt_id": row["prompt_id"], "turn": 0} for row in asked]
        found = [{**cell, "metric": "m", "value": i * place + 1.0} for i, cell in enumerate(cells)]
        tables.write("metrics", tmp_path / f"{arm}.parquet", found, {})
    wanted = scenario(arms=ARMS[:2], against=("untuned",), measures=[measure("m", "q")])
    spec = {"seed": 3, "asked": {arm: ["q"] for arm in ARMS[:2]}, "scenarios": [wanted]}
    metrics = {arm: tmp_path / f"{arm}.parquet" for arm in ARMS[:2]}
    summarise(statistics_job(tmp_path, metrics, [tmp_path / "p.parquet"], **spec))
    names = ("statistics", "comparisons", "breakdown", "scenarios")
    written = [tmp_path / f"{name}.parquet" for name in names]
    means, changes, _, rows = (list(tables.rows(path.stem, path)) for path in written)
    for row, other in zip(rows[:2], means, strict=True):
        shared = ("arm", "n", "mean", "ci_low", "ci_high", "coverage")
        assert {key: row[key] for key in shared} == {key: other[key] for key in shared}
    assert rows[2]["difference"] == changes[0]["mean_difference"] == 4
    assert rows[2]["p_adjusted"] == changes[0]["p_adjusted"]
    assert (tmp_path / "scenarios.csv").exists()


def test_means_and_comparisons_take_any_number_of_arms(values):
    cells = values.cube[:2, :1]
    means, bounds = estimates.means(cells, np.array([[0.0, 1.0]]), seed=0, clusters=values.clusters)
    assert (means.shape, bounds.shape) == ((2, 1, PROMPTS), (2, 1, 2))
    both = estimates.compare(cells[[1, 1]], cells[[0, 0]], seed=0)
    assert both[0] == both[1] == estimates.compare(cells[[1]], cells[[0]], seed=0)[0]
