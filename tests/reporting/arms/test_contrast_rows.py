"""Contrasts: every test that was named, as elsewhere in its numbers, one family each."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from alignlab.core import schemas
from alignlab.reporting.arms.contrasts import contrast_rows
from alignlab.reporting.arms.values import Values
from alignlab.reporting.config import ContrastConfig
from alignlab.statistics import estimates, paired

ARMS = ("base", "icl", "urial", "tuned")
METRICS = ("judge:help", "refusal", "words")
PROMPTS = 48


@pytest.fixture
def values():
    """Half of the prompts of two datasets are forbidden; the judge scores regular ones alone."""
    dice = np.random.default_rng(2)
    kinds = np.array(["regular", "safety"] * (PROMPTS // 2))
    cube = dice.normal(size=(4, 3, PROMPTS, 1)) + np.arange(4)[:, None, None, None] / 4
    cube[:, 1] = dice.random((4, PROMPTS, 1)) < 0.5
    expected = np.ones(cube.shape, dtype=bool)
    expected[:, 0, kinds == "safety"] = False
    cube[~expected] = np.nan
    return Values(
        arms=ARMS,
        metrics=METRICS,
        cube=cube,
        expected=expected,
        datasets=np.array(["one"] * 30 + ["two"] * 18),
        categories=kinds,
        clusters=np.arange(PROMPTS),
    )


def rows_of(values, **changes):
    named = {"name": "c", "arm": "urial", "against": "base", "metrics": "words"} | changes
    return list(contrast_rows(values, [ContrastConfig.model_validate(named)], seed=0))


def test_every_test_has_a_row_of_the_schema_in_order(values):
    rows = rows_of(values, arm=["urial", "tuned"], against=["base", "icl"], metrics=METRICS[1:])
    assert all({*row} == {*schemas.COLUMNS["contrasts"]} for row in rows)
    pairs = [(a, b) for a in ("urial", "tuned") for b in ("base", "icl")]
    kinds = ("regular", "safety")
    expected = [(*pair, "refusal", kind) for pair in pairs for kind in kinds]
    expected += [(*pair, "words", "all") for pair in pairs]
    keys = ("arm_a", "arm_b", "metric", "category")
    assert [tuple(row[key] for key in keys) for row in rows] == expected


def test_refusals_of_regular_and_forbidden_prompts_are_never_pooled(values):
    rows = rows_of(values, metrics="refusal")
    differences = (values.cube[2] - values.cube[0])[1, :, 0]
    for row in rows:
        mine = differences[values.categories == row["category"]]
        assert row["mean_difference"] == pytest.approx(mine.mean())
        assert row["n"] == len(mine) == PROMPTS // 2


def test_a_dataset_and_a_category_narrow_the_prompts(values):
    (row,) = rows_of(values, datasets="two", category="regular")
    chosen = (values.datasets == "two") & (values.categories == "regular")
    (alone,) = estimates.compare(
        values.cube[[2], 2:][:, :, chosen], values.cube[[0], 2:][:, :, chosen], 0
    )
    assert {key: row[key] for key in alone} == alone
    assert (row["dataset"], row["category"]) == ("two", "regular")


def test_all_tests_of_a_contrast_are_one_family_and_no_others(values):
    rows = rows_of(values, against=["base", "icl", "tuned"], metrics=["words", "refusal"])
    p_values = np.array([row["p_value"] for row in rows])
    assert len(rows) == 9
    assert [row["p_adjusted"] for row in rows] == pytest.approx(list(paired.holm(p_values)))


def test_a_test_without_a_prompt_is_a_row_without_a_value(values):
    (row,) = rows_of(values, metrics="hijacked")
    assert (row["n"], row["category"], row["p_value"], row["p_adjusted"]) == (0, "all", None, None)
    (row,) = rows_of(values, metrics="judge:help", category="safety")
    assert (row["n"], row["category"], row["p_value"]) == (0, "safety", None)
    regular = replace(values, categories=np.full(PROMPTS, "regular"))
    (row,) = rows_of(regular, category="safety")
    assert (row["n"], row["category"], row["p_value"]) == (0, "safety", None)
    nothing = replace(values, expected=np.zeros_like(values.expected))
    assert [row["n"] for row in rows_of(nothing)] == [0]


def test_too_low_a_coverage_refuses_the_test_and_its_place_in_the_family(values):
    few = replace(values, floors={"judge:help": 0.8})
    few.cube[2, 0, :20] = np.nan
    refused, *rest = rows_of(few, metrics=["judge:help", "words"])
    assert refused["mean_difference"] is None
    assert refused["n"] > 0
    adjusted = paired.holm(np.array([row["p_value"] for row in rest]))
    assert [row["p_adjusted"] for row in rest] == pytest.approx(list(adjusted))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"against": ["urial", "base"]}, "urial is compared with itself"),
        ({"metrics": ["words", "words"]}, "`metrics` has a name twice"),
        ({"metrics": []}, "at least 1 item"),
    ],
)
def test_a_contrast_that_cannot_be_one_is_refused(values, changes, said):
    with pytest.raises(ValidationError, match=said):
        rows_of(values, **changes)
