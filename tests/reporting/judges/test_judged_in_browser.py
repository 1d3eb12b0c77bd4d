"""Judging in real headless Chromium: what is greyed, what is refused, and hostile reasons."""

import pytest
from synthetic_judging import GOOD, POOR, UNTRIED

from alignlab.judging.qualification import status

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser, judged_study):
    """The opened page; at the end nothing was logged, thrown or fetched."""
    trouble = []
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    address = judged_study.page.as_uri()
    page = context.new_page()
    page.on("console", lambda message: trouble.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
    page.on("request", lambda request: trouble.append(request.url) if request.url != address else 0)
    page.goto(address)
    yield page
    context.close()
    assert trouble == []


BOARD = "#boards-leaderboard table:visible"


def column(page, metric):
    place = page.locator(f"{BOARD} thead th").evaluate_all(
        "(all, name) => all.findIndex((each) => each.dataset.key === name)", metric
    )
    return page.locator(f"{BOARD} tbody tr > :nth-child({place + 1})")


def shown(page):
    return page.locator(f"{BOARD} thead [data-key]").evaluate_all(
        "(all) => all.map((each) => each.dataset.key)"
    )


def test_unqualified_columns_are_grey_with_the_reason_and_never_best(page):
    names = shown(page)
    assert names[:2] == [f"{GOOD}:helpfulness", f"{GOOD}:clarity"]
    assert f"{POOR}:safety" in names
    assert column(page, f"{POOR}:helpfulness").locator(".value").count() == 3
    for cell in column(page, f"{POOR}:helpfulness").all():
        assert cell.get_attribute("class") == "untrusted faint"
    grey, ink = (
        column(page, f"{judge}:clarity")
        .first.locator(".value")
        .evaluate("(node) => getComputedStyle(node).color")
        for judge in (POOR, GOOD)
    )
    assert grey != ink
    assert column(page, f"{GOOD}:clarity").locator("xpath=self::*[@class='best']").count() == 1
    button = page.locator(f"{BOARD} [data-key='{POOR}:helpfulness'] button")
    assert button.inner_text() == "Helpfulness · small ?"
    button.hover()
    assert (
        "cannot tell an answer from another question's answer" in page.locator("#tip").inner_text()
    )
    footnotes = page.locator("#boards-leaderboard .doubts:visible").all_inner_texts()
    assert footnotes[0] == f"? Engagement · gpt: {status([], GOOD, UNTRIED)[1]}."


def test_a_refused_mean_shows_its_coverage_and_sorts_last(page):
    depth = column(page, f"{GOOD}:depth")
    (refused,) = [cell for cell in depth.all() if cell.inner_text().startswith("coverage ")]
    assert refused.locator(".value, .track").count() == 0
    refused.hover()
    assert "a mean needs 90%" in page.locator("#tip").inner_text()
    for _ in range(2):
        page.locator(f"{BOARD} [data-key='{GOOD}:depth'] button").click()
        assert depth.last.inner_text().startswith("coverage ")


def test_a_slice_shows_no_column_that_no_arm_has_a_row_for(page):
    assert f"{GOOD}:depth" in shown(page)
    page.get_by_text("strict (12)").click()
    assert [name for name in shown(page) if ":" in name] == [f"{GOOD}:safety", f"{POOR}:safety"]


def test_a_score_of_the_judges_own_model_carries_a_warning(page):
    column(page, f"{POOR}:clarity").last.hover()
    assert "judged by its own model" in page.locator("#tip").inner_text()


def test_the_breakdown_unfolds_and_changes_with_metric_and_group(page):
    table = page.locator("#breakdown table:visible")
    assert table.count() == 0
    page.locator("#breakdown summary").click()
    assert table.count() == 1
    assert table.locator("tbody tr").count() == 5
    first = table.inner_text()
    page.select_option("#breakdown [data-axis=Metric] select", label="Clarity · small")
    assert table.inner_text() != first
    assert "Clarity · small: cannot tell" in page.locator("#breakdown .doubts:visible").inner_text()
    page.locator("#breakdown [data-axis=By]").get_by_text("category").click()
    assert table.locator("tbody tr").count() == 1


def test_hostile_reasons_are_text_and_folded_away(page):
    card = page.locator(".card", has_text="zero-shot").first
    reasons = card.locator(".reasons")
    assert not reasons.locator("bdi").first.is_visible()
    reasons.locator("summary").click()
    assert "<script>window.pwned = 1</script>" in reasons.inner_text()
    assert reasons.locator("script, img").count() == 0
    assert page.evaluate("window.pwned") is None


def test_scores_come_with_bars_and_failures_with_their_status(page):
    card = page.locator(".card", has_text="urial").first
    judges = card.locator(".judgements .who").all_inner_texts()
    assert judges == [GOOD, POOR]
    assert card.locator(".spread").count() == 5
    assert card.locator(".spread").first.locator("i").count() == 5
    heights = (
        card.locator(".spread")
        .first.locator("i")
        .evaluate_all("(all) => all.map((each) => each.getBoundingClientRect().height)")
    )
    assert max(heights) > 3 * min(heights) > 0
    for _ in range(24):
        if page.locator(".judgements .badge").count():
            break
        page.locator("#next").click()
    assert page.locator(".judgements .badge").first.inner_text() == "unparseable"


def test_a_judge_shows_one_matrix_at_a_time(page):
    matrices = page.locator("#judged .duels:visible")
    assert matrices.count() == 2
    before = matrices.first.inner_text()
    page.locator(f"#boards-duels-{GOOD} .pills").get_by_text("Depth").click()
    assert matrices.count() == 2
    assert matrices.first.inner_text() != before


def test_the_body_never_scrolls_sideways_with_everything_unfolded(page):
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    for width in (380, 420, 768, 1280, 2200):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
