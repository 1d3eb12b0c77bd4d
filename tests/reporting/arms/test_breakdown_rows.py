"""Breakdown: every group's mean is that of the group's own cells."""

import numpy as np
import pytest
from arm_statistics import statistics_job
from judging_tables import judgement, measured, prompt, write

from alignlab.core.prompts import read_prompts
from alignlab.core.schemas import COLUMNS
from alignlab.reporting.arms.summarise import breakdown_rows
from alignlab.reporting.arms.values import load

TAGS = (["maths"], ["maths", "stem"], ["stem"], ["lonely"], [], ["maths"])
SOURCES = ("x", "x", "y", "y", "y", None)
ASKED = {"asked": {"a": ["q"]}}


@pytest.fixture
def rows(tmp_path):
    """Six prompts of two turns; the value of turn t of prompt p is 10 p + t, and depth 1 + t."""

    def run(floor=0.0, unscored=(), metric="words", value=lambda number, turn: 10 * number + turn):
        prompts = [
            prompt(
                f"q/{i}",
                turns=2,
                tags=TAGS[i],
                source=SOURCES[i],
                category=("regular", "safety")[i % 2],
            )
            for i in range(6)
        ]
        asked = [write("prompts", tmp_path / "p.parquet", prompts)]
        cells = [(f"q/{i}", float(value(i, turn)), turn) for i in range(6) for turn in (0, 1)]
        metrics = [measured(name, found, turn=turn, metric=metric) for name, found, turn in cells]
        judged = [
            judgement(name, None if name in unscored else 1 + turn, turn=turn)
            for name, _, turn in cells
        ]
        job = statistics_job(
            tmp_path,
            {"a": write("metrics", tmp_path / "m.parquet", metrics)},
            asked,
            {"a": [write("judgements", tmp_path / "j.parquet", judged)]},
            **ASKED,
            **{"scales": {"j:depth": [1, 5]}, "min_coverage": {"j": floor}},
        )
        found = read_prompts(asked)
        return list(breakdown_rows(load(job, found), found, seed=0))

    return run


def means(rows, metric, by):
    found = [row for row in rows if (row["metric"], row["by"]) == (metric, by)]
    return {row["group"]: (row["n"], row["mean"]) for row in found}


def test_groups_of_two_prompts_or_more_and_a_prompt_in_each_of_its_tags(rows):
    found = rows()
    assert all(row.keys() == COLUMNS["breakdown"].keys() for row in found)
    assert means(found, "words", "tag") == {"maths": (3, 20.5), "stem": (2, 15.5)}
    assert means(found, "words", "source") == {"x": (2, 5.5), "y": (3, 30.5)}
    assert means(found, "words", "category") == {"regular": (3, 20.5), "safety": (3, 30.5)}
    assert means(found, "words", "turn") == {"1": (6, 25), "2": (6, 26)}


def test_refusals_of_regular_and_safety_prompts_are_never_pooled(rows):
    found = rows(metric="refusal", value=lambda number, turn: number % 2)
    of_tag = [r for r in found if (r["metric"], r["by"]) == ("refusal", "tag")]
    # maths: 0 and 2 regular, 1 and 5 safety, less the one prompt of a category; stem: 1 and 2.
    assert [(r["group"], r["category"], r["n"], r["mean"]) for r in of_tag] == [
        ("maths", "safety", 2, 1)
    ]
    by_turn = [r for r in found if (r["metric"], r["by"]) == ("refusal", "turn")]
    assert [(r["group"], r["category"], r["n"], r["mean"]) for r in by_turn] == [
        *(("1", "regular", 3, 0), ("1", "safety", 3, 1)),
        *(("2", "regular", 3, 0), ("2", "safety", 3, 1)),
    ]
    of_kind = [r for r in found if (r["metric"], r["by"]) == ("refusal", "category")]
    assert [(r["group"], r["category"], r["mean"]) for r in of_kind] == [
        ("regular", "all", 0),
        ("safety", "all", 1),
    ]
    assert {r["category"] for r in found if r["metric"] != "refusal"} == {"all"}


def test_a_judge_s_turns_are_kept_apart_and_intervals_hold_the_mean(rows):
    found = rows()
    assert means(found, "j:depth", "turn") == {"1": (6, 1), "2": (6, 2)}
    assert all(row["ci_low"] <= row["mean"] <= row["ci_high"] for row in found)
    assert all(row["coverage"] == 1 for row in found)


def test_coverage_is_the_group_s_own_and_refuses_its_mean_alone(rows):
    found = [row for row in rows(floor=0.5, unscored=("q/0", "q/5")) if row["metric"] == "j:depth"]
    tags = {row["group"]: row for row in found if row["by"] == "tag"}
    assert list(tags) == ["stem"]  # one scored prompt of `maths` is left, too few for a row
    tags = {row["group"]: row for row in found if row["by"] == "category"}
    assert tags["regular"]["coverage"] == tags["safety"]["coverage"] == pytest.approx(2 / 3)
    refused = rows(floor=0.7, unscored=("q/0", "q/5"))
    by_category = [r for r in refused if (r["metric"], r["by"]) == ("j:depth", "category")]
    assert [(row["n"], row["mean"]) for row in by_category] == [(2, None), (2, None)]
    assert np.isfinite([row["mean"] for row in refused if row["metric"] == "words"]).all()


def test_what_all_prompts_share_is_no_group(tmp_path):
    prompts = [prompt(f"q/{i}", tags=["same"]) for i in range(4)]
    asked = [write("prompts", tmp_path / "p.parquet", prompts)]
    metrics = write("metrics", tmp_path / "m.parquet", [measured(f"q/{i}", 1.0) for i in range(4)])
    values = load(statistics_job(tmp_path, {"a": metrics}, asked, **ASKED), read_prompts(asked))
    assert list(breakdown_rows(values, read_prompts(asked), seed=0)) == []
