"""The terminal table: aligned, narrow enough, starred where the page says so."""

import io
import re

import pytest
from synthetic import ARMS
from synthetic_judging import ASPECTS, GOOD, UNTRIED

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.judging.qualification import status
from alignlab.metrics.definitions import METRICS
from alignlab.reporting.arms.measures import read_scenarios, significant
from alignlab.reporting.inputs import MAIN, read_differences
from alignlab.reporting.summary import (
    WIDTH,
    contrast_summary,
    scenario_summary,
    shift_summary,
    study_summary,
    summary,
)


@pytest.fixture(scope="module")
def text(study):
    return summary(
        study.job.statistics, study.job.comparisons, study.job.prompts, "zero-shot", [], None
    )


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


def shown(differences, metrics):
    """Rows of the metrics over all prompts, and of refusals by category."""
    for metric in metrics:
        for category in ("regular", "safety") if metric == "refusal" else ("all",):
            for cells in differences["all", category].values():
                if metric in cells:
                    yield cells[metric]


def test_stars_are_the_significant_differences(study, text):
    rows = read_differences(study.job.comparisons, "zero-shot")
    told = sum(map(significant, shown(rows, MAIN)))
    assert text.split("\n\nMean")[0].count("*") == told > 0


def test_an_unknown_baseline_is_an_error(study):
    with pytest.raises(AlignlabError, match="no row for the baseline 'nobody'"):
        summary(study.job.statistics, study.job.comparisons, study.job.prompts, "nobody", [], None)


@pytest.fixture(scope="module")
def judged_text(judged_study):
    given, judged = judged_study.job, judged_study.job.spec.judged
    tables_of = (given.statistics, given.comparisons, given.prompts)
    return summary(*tables_of, "zero-shot", judged, given.qualification)


def test_what_judges_rate_comes_first_with_a_mark_where_they_are_not_qualified(judged_text):
    header, *lines = judged_text.split("\n\n")[0].splitlines()
    assert header.split()[:7] == ["arm", "Helpfulness", "·", GOOD, "Clarity", "·", GOOD]
    assert "Engagement · gpt ?" in judged_text
    assert "Helpfulness · small ?" in judged_text
    assert "Helpfulness · gpt ?" not in judged_text
    assert [line.split()[0] for line in lines] == ["zero-shot", "urial", "chat"]
    assert max(map(len, judged_text.splitlines())) <= WIDTH


def test_refused_means_and_doubts_are_explained_below(judged_text):
    assert len(re.findall(r"coverage \d+%", judged_text)) == 1
    words = " ".join(judged_text.split())
    assert re.search(r"scored at least \d\d% of each arm's answers \(least: Depth · gpt\)", words)
    assert f"? Engagement · gpt: {status([], GOOD, UNTRIED)[1]}." in words
    assert "and Engagement · small: cannot tell an answer from another question's" in words
    assert "small judges answers of its own model in chat: it may favour them." in words


def test_no_star_is_by_a_judge_that_is_not_qualified(judged_study, judged_text):
    rows = read_differences(judged_study.job.comparisons, "zero-shot")
    qualified = [f"gpt:{aspect}" for aspect in ASPECTS if aspect != UNTRIED]
    told = sum(map(significant, shown(rows, (*qualified, *MAIN))))
    rows = rows["all", "all"]
    doubted = [m for m in rows["chat"] if ":" in m and m not in qualified]
    assert any(significant(rows[arm][m]) for arm in rows for m in doubted)
    assert judged_text.split("\n\nMean")[0].count("*") == told > 0


def test_an_arm_without_rows_has_dashes(judged_study, tmp_path):
    given, path = judged_study.job, tmp_path / "s.parquet"
    judged = judged_study.job.spec.judged
    rows = tables.rows("statistics", given.statistics)
    kept = [row for row in rows if (row["arm"], row["metric"]) != ("chat", "gpt:clarity")]
    tables.write("statistics", path, kept, {})
    text = summary(path, given.comparisons, given.prompts, "zero-shot", judged, None)
    chat = next(line for line in text.splitlines() if line.startswith("chat"))
    assert "  –" in chat


def test_every_pair_has_a_line(tmp_path):
    path = tmp_path / "shift_statistics.parquet"
    row = {"template": "own", "dataset": "all", "category": "all", "eos": "with", "prompts": 9}
    row |= {
        "weighting": "pooled",
        "coverage": 0.9,
        "lacking": 0,
        "clusters": 9,
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
    assert own.split()[:4] == ["own", "50.0%", "[25.0,", "75.0]"]
    assert other.split()[:4] == ["other", "50.0%", "[25.0,", "75.0]"]
    assert "99.0" not in text
    assert "other: 90% of answers could be scored." in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_scenarios_are_marked_where_the_page_remarks(study):
    path = study.job.scenarios
    text = scenario_summary(path, [], None)
    assert max(map(len, text.splitlines())) <= WIDTH
    attack, rest = text.split("Scenario red-team")
    assert attack.startswith("Scenario attack\narm ")
    assert rest.rstrip().endswith("from * zero-shot.")
    told = [
        significant(row)
        for scenario in read_scenarios(path, METRICS, {})
        for measure in scenario.measures
        for rows in measure.changes.values()
        for row in rows.values()
    ]
    # The legends name each mark once.
    assert text.count("*") + text.count("+") - 3 == sum(told) > 0


def test_contrasts_are_told_with_every_difference(study):
    text = contrast_summary(study.job.contrasts, [], None)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.startswith("Contrast the-claim, named before the run\ndifference ")
    assert "p after Holm, over all tests of the contrast." in text


def test_a_study_is_told_in_the_page_s_sentences(study):
    text = study_summary(study.job.discrimination)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.startswith("Study own-answers, answers of zero-shot\nfree (unguided) is right")
    assert "led (guided) against free: " in text


class Screen(io.TextIOWrapper):
    """A terminal with an encoding of its own."""

    def isatty(self):
        return True


def on_screen(monkeypatch, encoding, study):
    monkeypatch.setattr("sys.stdout", Screen(io.BytesIO(), encoding=encoding))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "90")
    return summary(
        study.job.statistics, study.job.comparisons, study.job.prompts, "zero-shot", [], None
    )


def test_a_terminal_has_bold_and_its_own_width_and_nothing_else_differs(monkeypatch, study, text):
    shown = on_screen(monkeypatch, "utf-8", study)
    assert "\x1b[1m" in shown
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert max(map(len, plain.splitlines())) <= 90
    assert sorted(plain.split()) != []
    assert {word for word in text.split() if "[" in word} <= set(plain.split())
    assert "\x1b" not in text


def test_a_terminal_that_is_too_narrow_folds_lines_and_loses_no_number(monkeypatch, study, text):
    monkeypatch.setattr("alignlab.reporting.summary.WIDTH", 20)
    narrow = summary(
        study.job.statistics, study.job.comparisons, study.job.prompts, "zero-shot", [], None
    )
    assert {word for word in text.split() if "[" in word} <= set(narrow.split())
    assert "…" not in narrow


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_no_terminal_fails_for_its_encoding(monkeypatch, study, encoding):
    shown = on_screen(monkeypatch, encoding, study)
    shown.encode(encoding)
    scenarios = scenario_summary(study.job.scenarios, [], None)
    scenarios.encode(encoding)
    assert "?" not in scenarios.replace(" ?", "")
