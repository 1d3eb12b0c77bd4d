"""The terminal table: aligned, narrow enough, starred where the page says so."""

import pytest
from synthetic import ARMS

from alignlab.errors import AlignlabError
from alignlab.reporting.headlines import distinguishable
from alignlab.reporting.results import MAIN, read_differences
from alignlab.reporting.summary import WIDTH, summary


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
