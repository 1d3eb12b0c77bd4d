"""The page's sections on Learning from Mistakes, and the study in words."""

import re

import pytest
from synthetic_learning import KINDS

from alignlab.reporting.learning import studies


@pytest.fixture(scope="module")
def page(study):
    return study.page.read_text(encoding="utf-8")


def section(page, name):
    """Text of a section, without tags and runs of white space."""
    (found,) = re.findall(rf'<section id="{name}".*?</section>', page, re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", found).split()).replace("&#34;", '"')


def test_every_section_is_in_the_contents(page):
    for name in ("contrasts", "scenarios", "discrimination", "training"):
        assert f'<section id="{name}"' in page
        assert f'<a href="#{name}">' in page


def test_every_scenario_has_its_tables_sentences_and_figure(page, study):
    for scenario in study.job.spec.scenarios:
        assert (study.figures / f"scenario-{scenario.name}.svg").exists()
    text = section(page, "scenarios")
    assert text.count("Against zero-shot:") == 5 + 2
    shown = re.search(r'<section id="scenarios".*?</section>', page, re.DOTALL)[0]
    assert shown.count('<table class="board ">') == 2
    assert shown.count('<table class="board differences">') == 2 + 1
    assert "Scenario 1: &lt;b&gt;an unaligned&lt;/b&gt; model" in text


def test_contrasts_come_first_and_what_was_not_named_is_called_exploratory(page):
    text = section(page, "contrasts")
    assert page.index('id="contrasts"') < page.index('id="scenarios"')
    assert "the-claim" in text
    assert "What is no contrast, scenario or study on this page is exploratory" in text
    assert "Against zero-shot: nothing to compare." in text


def test_training_sets_are_shown_with_counts_and_shares(page):
    text = section(page, "training")
    assert "lfm 256 64 answer 25% 128 analysis 50% 64 good 25%" in text
    for name in KINDS:
        assert f"tuned-{name} m {name} sft 40 2.500 1.137" in text


def test_published_numbers_are_shown_as_published_and_no_others(page):
    text = section(page, "training")
    published = text[text.index("Published elsewhere") :]
    assert "a reimplementation from a secondary description" in published
    numbers = re.findall(r"\+?\d+(?:\.\d+)?(?=%| points)", published)
    assert numbers == ["+21.6", "+10", "+16.9", "66.82", "69.87", "80.37"]
    assert "a news article about LfM" in published
    assert "MoTE, Table 1" in published


def row(**changes):
    found = {"analysis": "led", "ask": "guided", "against": "answer", "slice": "all", "n": 40}
    found["clusters"] = 40
    found |= {"right": 0.8, "against_right": 0.5, "difference": 0.3, "difference_low": 0.1}
    found |= {"difference_high": 0.5, "p_adjusted": 0.01, "minimum_detectable_effect": 0.25}
    found |= {"balanced_accuracy": 0.7, "balanced_low": 0.6, "balanced_high": 0.8}
    return found | changes


def reading(*rows):
    return [each.replace("\u00a0", " ") for each in studies.reading(studies.Study("s", "a", rows))]


def test_a_reading_gives_shares_difference_and_balanced_accuracy():
    assert reading(row()) == [
        "led (guided) is right about 80% of 40 answers, of which 50% are fine: right more often, "
        "+0.30 [+0.10, +0.50] p = .010. Its balanced accuracy is 0.70 [0.60, 0.80], above 0.5, "
        "that of a constant verdict."
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"balanced_low": 0.45}, "not significantly different from 0.5"),
        ({"balanced_low": 0.2, "balanced_high": 0.4}, "below 0.5"),
        ({"p_adjusted": 0.2}, "no significant difference, +0.30 [+0.10, +0.50] p = .200; minimum"),
        ({"difference": -0.3, "difference_low": -0.5, "difference_high": -0.1}, "right less often"),
        ({"against": "free"}, "led (guided) against free: right more often"),
        ({"clusters": 10}, "about 80% of 40 answers in 10 clusters, of which 50% are fine"),
    ],
)
def test_a_reading_claims_no_more_than_the_row(changes, words):
    (said,) = reading(row(**changes))
    assert words in said


def test_without_an_interval_balanced_accuracy_is_compared_with_nothing():
    (said,) = reading(row(clusters=1, balanced_low=None, balanced_high=None))
    assert "alanced" not in said


def test_only_all_answers_are_read_out():
    assert reading(row(slice="bad answers"), row(difference=None)) == []


def test_a_row_without_a_test_shows_none():
    shown = studies.difference(row(p_adjusted=None))
    assert shown.replace("\u00a0", " ") == "+0.30 [+0.10, +0.50]"
    assert not studies.differs(row(p_adjusted=None))
