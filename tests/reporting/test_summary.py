"""The terminal table: aligned, narrow enough, starred where the page says so."""

import pytest
from synthetic import ARMS

from alignlab import tables
from alignlab.errors import AlignlabError
from alignlab.reporting import scenarios
from alignlab.reporting.headlines import distinguishable
from alignlab.reporting.results import MAIN, read_differences
from alignlab.reporting.summary import (
    WIDTH,
    scenario_summary,
    shift_summary,
    study_summary,
    summary,
)


@pytest.fixture(scope="module")
def text(study):
    return summary(study.arguments["statistics"], study.arguments["comparisons"], "zero-shot")


def test_every_arm_has_a_line_in_every_block_and_columns_are_aligned(text):
    *blocks, notes = text.split("\n\n")
    for block in blocks:
        header, *lines = block.splitlines()
        assert [line.split()[0] for line in lines] == [arm[0] for arm in ARMS]
        ends = {line.rstrip("*").rstrip().rfind("]") for line in lines}
        assert len(ends) == 1
        assert header.startswith("arm ")
    assert "at most 36 prompts" in notes
    assert "Repetition: as few as" in notes


def test_lines_fit_a_terminal(text):
    assert max(map(len, text.splitlines())) <= WIDTH


def test_stars_are_the_distinguishable_differences(study, text):
    rows = read_differences(study.arguments["comparisons"], "zero-shot")["all"]
    told = sum(distinguishable(rows[arm][metric]) for arm in rows for metric in MAIN)
    assert text.split("\n\nMean")[0].count("*") == told > 0


def test_an_unknown_baseline_is_an_error(study):
    with pytest.raises(AlignlabError, match="no row for the baseline 'nobody'"):
        summary(study.arguments["statistics"], study.arguments["comparisons"], "nobody")


def test_every_pair_has_a_line(tmp_path):
    path = tmp_path / "shift_statistics.parquet"
    row = {"template": "own", "dataset": "all", "category": "all", "eos": "with", "prompts": 9}
    row |= {
        "weighting": "pooled",
        "coverage": 0.9,
        "tokens": 90,
        "value": 0.5,
        "ci_low": 0.25,
        "ci_high": 0.75,
    }
    metrics = ("unshifted", "marginal", "shifted", "kl_aligned_base", "first_token_shifted")
    rows = [{**row, "pair": pair, "metric": m} for pair in ("own", "other") for m in metrics]
    rows += [{**row, "pair": "own", "metric": "shifted", "eos": "without", "value": 0.99}]
    tables.write("shift_statistics", path, rows, {})
    text = shift_summary(path)
    header, own, other, *_ = text.splitlines()
    assert header.split()[:3] == ["pair", "Unshifted", "Marginal"]
    assert own.startswith("own    50% [25, 75]")
    assert other.startswith("other  50% [25, 75]")
    assert "99%" not in text
    assert "other: 90% of answers could be scored." in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_scenarios_are_marked_where_the_page_remarks(study):
    path = study.arguments["scenarios"]
    text = scenario_summary(path)
    assert max(map(len, text.splitlines())) <= WIDTH
    attack, rest = text.split("Scenario red-team")
    assert attack.startswith("Scenario attack\narm ")
    assert rest.rstrip().endswith("from * zero-shot.")
    told = [
        distinguishable(row)
        for scenario in scenarios.read(path)
        for measure in scenario.measures
        for rows in measure.changes.values()
        for row in rows.values()
    ]
    # The legends name each mark once.
    assert text.count("*") + text.count("+") - 3 == sum(told) > 0


def test_a_study_is_told_in_the_page_s_sentences(study):
    text = study_summary(study.arguments["discrimination"])
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.startswith("Study own-answers, answers of zero-shot\nfree (unguided) is right")
    assert "led (guided) against free: " in text
