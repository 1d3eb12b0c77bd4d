"""The page in real headless Chromium, opened from disk as a reader opens it."""

import pytest
from synthetic import ARMS, HOSTILE

from alignlab.reporting.arms import figures

SAFETY = "#prompt=strict%2F0"

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(browser, study):
    """A function that opens the page; at the end nothing was logged, thrown or fetched."""
    trouble = []
    context = browser.new_context(viewport={"width": 1400, "height": 900})

    def visit(fragment=""):
        page = context.new_page()
        page.on("console", lambda message: trouble.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        address = study.page.as_uri()
        page.on("request", lambda request: fetched(request.url, address))
        page.goto(address + fragment)
        return page

    def fetched(url, address):
        if url.partition("#")[0] != address and not url.startswith("data:"):
            trouble.append(f"request: {url}")

    yield visit
    context.close()
    assert trouble == []


def board(page, rest=""):
    """What is shown of the leaderboard."""
    return page.locator(f"#leaderboard table:visible {rest}".strip())


def arms_in_order(page):
    return board(page, "tbody th b").all_inner_texts()


def values_of(page, metric):
    place = board(page, "thead th").evaluate_all(
        "(all, name) => all.findIndex((each) => each.dataset.key === name)", metric
    )
    texts = board(page, f"tbody tr > :nth-child({place + 1}) .value").all_inner_texts()
    return [float(text.replace("\u2212", "-")) for text in texts]


def heading(page, metric):
    return board(page, f"[data-key={metric}] button")


def listed(page):
    return page.locator("#prompts small").all_inner_texts()


def current(page):
    return page.locator("#place").inner_text()


def test_columns_sort_best_first_then_turned_then_back_to_the_order(opened):
    page = opened()
    order = [arm[0] for arm in ARMS]
    assert arms_in_order(page) == order
    repetition = heading(page, "rep_4")
    repetition.click()
    assert values_of(page, "rep_4") == sorted(values_of(page, "rep_4"))
    assert board(page, "th[aria-sort=ascending]").inner_text().startswith("Repetition")
    repetition.press("Enter")
    assert values_of(page, "rep_4") == sorted(values_of(page, "rep_4"), reverse=True)
    board(page).get_by_role("button", name="Arm", exact=True).click()
    assert arms_in_order(page) == order


def test_slices_and_differences_change_the_numbers(opened):
    page = opened()
    whole = values_of(page, "relevance")
    page.get_by_text("strict (12)").click()
    assert values_of(page, "relevance") != whole
    assert (
        page.locator("#leaderboard .note:visible")
        .first.inner_text()
        .startswith("strict: 12 prompts.")
    )
    said = page.locator("#boards-leaderboard > [role=status]")
    assert said.inner_text().startswith("strict: 12 prompts.")
    page.locator("#leaderboard [data-axis=Show]").get_by_text("difference from zero-shot").click()
    assert len(values_of(page, "relevance")) == len(ARMS) - 1
    assert "] p" in board(page, ".range").first.inner_text()


def test_all_metrics_are_shown_on_demand_and_stay_where_the_slice_changes(opened):
    page = opened()
    main = board(page, "thead th:visible").count()
    page.locator("#leaderboard [data-axis=Metrics]").get_by_text("all ").click()
    everything = board(page, "thead th:visible").count()
    assert everything > main
    page.get_by_text("strict (12)").click()
    assert board(page, "thead th:visible").count() == everything


def test_a_sorted_column_stays_sorted_where_the_slice_changes(opened):
    page = opened()
    heading(page, "relevance").click()
    page.get_by_text("strict (12)").click()
    assert values_of(page, "relevance") == sorted(values_of(page, "relevance"), reverse=True)


def test_what_differs_significantly_is_marked_and_the_note_says_so(opened):
    page = opened()
    assert set(board(page, "sup").all_inner_texts()) == {"*"}
    note = page.locator("#leaderboard .note:visible").first.inner_text()
    assert note.endswith("* differs significantly from zero-shot.")


def test_best_is_marked_only_where_a_direction_is_defined(opened):
    page = opened()
    marked = board(page, "td.best").count()
    assert marked >= 3  # ends cleanly, repetition, relevance
    heading(page, "num_words").click()
    best = board(page, "td.best").evaluate_all("(all) => all.map((each) => each.cellIndex)")
    keys = board(page, "thead th").evaluate_all("(all) => all.map((each) => each.dataset.key)")
    assert "num_words" not in {keys[place] for place in best}


def test_coverage_is_shown_exactly_where_it_is_below_one(opened):
    page = opened()
    assert board(page, ".share").count() > 0
    columns = board(page, ".share").evaluate_all(
        "(all) => [...new Set(all.map((each) => each.closest('td').cellIndex))]"
    )
    heads = board(page, "thead th").all_inner_texts()
    assert [heads[place].splitlines()[0] for place in columns] == ["Repetition"]


def test_a_tooltip_tells_what_a_metric_is_and_escape_closes_it(opened):
    page = opened()
    heading(page, "rep_4").hover()
    assert "seq-rep-4" in page.locator("#tip").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_a_scenario_shows_one_of_its_tables_at_a_time(opened):
    page = opened()
    first = page.locator("#boards-scenario-attack .pills")
    shown = page.locator("#scenarios [data-choices]:visible")
    assert shown.evaluate_all("(all) => all.map((each) => each.dataset.choices)") == [
        '["values"]',
        '["values"]',
    ]
    first.get_by_text("difference from icl").evaluate("(label) => label.click()")
    assert shown.first.get_attribute("data-choices") == '["difference from icl"]'
    assert shown.last.get_attribute("data-choices") == '["values"]'
    cell = shown.first.locator("td").first
    cell.hover()
    assert "exact McNemar" in page.locator("#tip").inner_text()
    scales = cell.locator(".track").evaluate("(n) => getComputedStyle(n).getPropertyValue('--at')")
    assert scales.endswith("%")


def test_search_and_filters_narrow_the_list(opened):
    page = opened()
    assert len(listed(page)) == 36
    page.select_option("#category", "safety")
    assert len(listed(page)) == 12
    assert current(page) == "strict/0"
    page.select_option("#category", "")
    page.select_option("#tag", "coding")
    assert listed(page)
    assert all("coding" in about for about in listed(page))
    page.select_option("#tag", "")
    page.fill("#search", "Violins explain")
    assert len(listed(page)) == 3
    page.fill("#search", "no such words anywhere")
    assert listed(page) == []
    assert page.get_by_text("No prompt matches.").is_visible()


def test_keys_buttons_and_links_move_between_prompts(opened):
    page = opened()
    page.locator("#answers").scroll_into_view_if_needed()
    page.evaluate("document.getElementById('answers').scrollIntoView()")
    seen = [current(page)]
    for key in ("ArrowRight", "n", "ArrowLeft", "p"):
        page.keyboard.press(key)
        seen.append(current(page))
    assert seen == [f"mt-bench/{place}" for place in (81, 82, 83, 82, 81)]
    assert page.locator("#previous").is_disabled()
    page.locator("#next").click()
    assert current(page) == "mt-bench/82"
    assert page.url.endswith("#prompt=mt-bench%2F82")
    page.locator("#search").press("k")
    assert (page.input_value("#search"), current(page)) == ("k", "mt-bench/82")


def test_a_link_opens_its_prompt_with_every_turn_in_order(opened):
    page = opened("#prompt=mt-bench%2F84")
    assert current(page) == "mt-bench/84"
    heads = page.locator(".question h3").all_inner_texts()
    assert heads == ["Turn 1 of 2", "Turn 2 of 2"]
    assert page.locator(".card").count() == 2 * len(ARMS)


def test_safety_answers_are_veiled_until_each_is_opened(opened):
    page = opened(SAFETY)
    assert page.locator(".veiled").count() == len(ARMS)
    reading = page.locator(".reading").first
    assert "blur" in reading.evaluate("(node) => getComputedStyle(node).filter")
    page.locator(".unveil").first.click()
    assert reading.evaluate("(node) => getComputedStyle(node).filter") == "none"
    page.locator(".veiled .unveil").first.press("Enter")
    assert page.locator(".veiled").count() == len(ARMS) - 2


def test_all_safety_answers_can_be_revealed_and_are_not_at_first(opened):
    page = opened(SAFETY)
    assert not page.locator("#reveal").is_checked()
    page.locator("#reveal").check()
    assert page.locator(".veiled").count() == 0
    page.locator("#reveal").uncheck()
    assert page.locator(".veiled").count() == len(ARMS)


def test_hostile_text_is_text(opened):
    page = opened()
    body = page.locator(".card", has_text="zero-shot").first.locator(".reading")
    shown = body.inner_text()
    for piece in ("<script>window.pwned = 1</script>", "<img src=x onerror=", "<b>unclosed"):
        assert piece in shown
    assert "U+202E" in shown
    assert "\u2407bell" in shown
    assert not set("\u202e\x07\u2028") & set(shown)
    assert HOSTILE not in shown
    assert body.locator("script, img, b").count() == 0
    assert body.locator("bdi").evaluate("(n) => getComputedStyle(n).unicodeBidi") == "isolate"
    assert page.evaluate("window.pwned") is None


def test_raw_text_shows_what_was_cut(opened):
    page = opened()
    first = page.locator(".card", has=page.locator(".badge", has_text="trimmed")).first
    assert "# Query:" not in first.locator(".reading").inner_text()
    page.locator("#raw").check()
    assert "# Query:" in first.locator(".reading").inner_text()


def test_however_an_answer_ended_its_badge_says_what_that_means(opened):
    page = opened()
    assert page.evaluate("Object.keys(FINISH)") == [*figures.FINISH]
    page.locator(".card", has_text="gpt-published").first.locator(".badge").hover()
    assert "not known how it ended" in page.locator("#tip").inner_text()


def test_arrows_move_through_the_list_and_tab_reaches_it_whatever_is_filtered(opened):
    page = opened()
    page.locator("#prompts a").first.focus()
    page.keyboard.press("ArrowDown")
    current = page.locator("#prompts [aria-current]")
    assert page.locator("#prompts a").nth(1).get_attribute("href") == current.get_attribute("href")
    page.evaluate("browser.entry = null; markEntry()")
    assert page.locator("#prompts a[tabindex='0']").count() == 1


def test_arms_can_be_left_out(opened):
    page = opened("#prompt=mt-bench%2F82")
    page.locator("#arms").get_by_text("retrieval").click()
    assert page.locator(".card").count() == len(ARMS) - 1


@pytest.mark.parametrize("fragment", ["", SAFETY])
def test_the_body_never_scrolls_sideways(opened, fragment):
    page = opened(fragment)
    for width in (380, 768, 1400, 2200):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_everything_can_be_reached_by_tab(opened):
    page = opened()
    page.evaluate(
        "window.reached = []; addEventListener('focusin', ({ target }) =>"
        " reached.push(target.id || target.className))"
    )
    for _ in range(90):
        page.keyboard.press("Tab")
    reached = set(page.evaluate("reached"))
    assert {"skip", "scroll", "search", "dataset", "next", "raw", "reveal"} <= reached
