"""The token-shift page in real headless Chromium: moving, filtering, links, loading."""

import re

import pytest
from shift_reading import HOSTILE, SAFETY, chosen, opens, sync_api
from synthetic_shift import HOSTILE_PROMPT

from alignlab.reporting.shift import payload

pytestmark = pytest.mark.browser


def prompt_of(page):
    return re.match(r"Prompt ([^,]+)", page.locator("#question h3").first.inner_text())[1]


def listed(page):
    return page.locator("#prompts .about").all_text_contents()


def shares(page):
    texts = page.locator("#prompts small:not(.about)").all_text_contents()
    return [float(re.match(r"[\d.]+", text)[0]) for text in texts]


def test_keys_move_between_tokens_and_answers(shift_page, shift_answers):
    page = shift_page("#pair=smol-own&prompt=mt-bench%2F81&token=3")
    page.locator("#t3").click()
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "Home", "ArrowLeft", "End"):
        page.keyboard.press(key)
        seen.append(chosen(page))
    assert seen == [4, 5, 4, 0, 0, len(shift_answers["mt-bench/81"]) - 1]
    page.keyboard.press("ArrowDown")
    opens(page, "mt-bench/81, turn 1 of 2")
    page.keyboard.press("n")
    opens(page, HOSTILE_PROMPT)
    page.keyboard.press("p")
    page.keyboard.press("ArrowUp")
    opens(page, "mt-bench/81")
    page.locator("#search").press("n")
    assert (page.input_value("#search"), prompt_of(page)) == ("n", "mt-bench/81")


def test_s_jumps_along_the_shifted_tokens(shift_page, shift_answers):
    rows = shift_answers["mt-bench/84"]
    shifted = [at for at, row in enumerate(rows) if row["shift_class"] == "shifted"]
    assert len(shifted) > 2
    page = shift_page("#pair=smol-own&prompt=mt-bench%2F84")
    assert chosen(page) == shifted[0]
    page.keyboard.press("s")
    page.locator("#next-shifted").click()
    assert chosen(page) == shifted[2]
    page.keyboard.press("Shift+S")
    assert chosen(page) == shifted[1]


def test_a_link_opens_its_pair_prompt_turn_and_token_and_the_address_follows(shift_page):
    page = shift_page("#pair=smol-shared&prompt=mt-bench%2F84&turn=1&token=7")
    assert page.locator("#pair").input_value() == "1"
    assert "turn 2 of 2" in page.locator("#question h3").last.inner_text()
    assert chosen(page) == 7
    page.keyboard.press("ArrowRight")
    assert page.url.endswith("#pair=smol-shared&prompt=mt-bench%2F84&turn=1&token=8")
    page.evaluate("location.hash = 'pair=smol-own&prompt=mt-bench%2F83&token=2'")
    opens(page, "mt-bench/83")
    assert (page.locator("#pair").input_value(), chosen(page)) == ("0", 2)


def test_a_click_in_the_list_opens_an_answer_and_leaves_the_page_where_it_is(shift_page):
    page = shift_page()
    before = page.evaluate(
        "() => { byId('answers').scrollIntoView(); scrollBy(0, 60); return scrollY; }"
    )
    # Playwright's own click may scroll the page first, on a busy machine.
    page.locator("#prompts a").nth(3).evaluate("(link) => link.click()")
    opens(page, "mt-bench/83")
    assert page.evaluate("scrollY") == before


def test_another_pair_keeps_the_answer_and_the_token(shift_page, shift_study):
    page = shift_page("#pair=smol-own&prompt=mt-bench%2F84&token=4")
    page.select_option("#pair", "1")
    opens(page, "mt-bench/84")
    sync_api.expect(page.locator("#kinds-pair")).to_have_text("smol-shared")
    found = payload.answers_of(shift_study.job.shifts["smol-shared"])
    rows = next(rows for rows in found if rows[0]["prompt_id"] == "mt-bench/84")
    assert chosen(page) == 4
    assert f"base rank {rows[4]['base_rank']}" in page.locator("#said").inner_text()
    assert "pair=smol-shared" in page.url


def test_filters_search_and_order(shift_page, shift_answers):
    page = shift_page()
    everything = len(listed(page))
    page.select_option("#category", "safety")
    assert len(listed(page)) == 6
    opens(page, "strict/0")
    page.select_option("#category", "")
    page.select_option("#tag", "coding")
    assert listed(page)
    assert all("coding" in about for about in listed(page))
    page.select_option("#tag", "")
    page.fill("#search", "Bread explain")
    sync_api.expect(page.locator("#prompts li")).to_have_count(3)
    words = [row["token"].strip() for row in shift_answers["mt-bench/83"]][4:9]
    page.fill("#search", f"mt-bench/83 {' '.join(words)}")
    sync_api.expect(page.locator("#prompts li")).to_have_count(1)
    page.fill("#search", "no such words anywhere")
    sync_api.expect(page.get_by_text("No answer matches.")).to_be_visible()
    page.fill("#search", "")
    sync_api.expect(page.locator("#prompts li")).to_have_count(everything)
    page.select_option("#sort", "shifted")
    assert shares(page) == sorted(shares(page), reverse=True)
    page.locator("#least").fill("15")
    assert shares(page)
    assert min(shares(page)) >= 15
    assert len(shares(page)) < everything


def test_a_shifted_token_lists_its_answers_and_opens_them_there(shift_page, shift_answers):
    page = shift_page()
    page.locator("#top-tokens .pick", has_text="<|end|>").click()
    sync_api.expect(page.locator("#only")).to_be_visible()
    assert "<|end|>" in page.locator("#only-said").inner_text()
    first = page.locator("#stream [aria-selected=true]")
    assert (first.inner_text(), "shifted" in first.get_attribute("class")) == ("<|end|>", True)
    narrowed = len(listed(page))
    page.locator("#only-clear").click()
    assert len(listed(page)) > narrowed > 0


def test_tokens_are_loaded_only_for_what_is_shown(shift_page):
    page = shift_page()
    sources = page.locator("script[src]").evaluate_all("(all) => all.map((n) => n.src)")
    names = sorted(source.rpartition("/")[2] for source in sources)
    assert names == ["0-0.js", "0-answers.js", "prompts-0.js"]


@pytest.mark.parametrize("fragment", [HOSTILE, SAFETY])
def test_the_body_never_scrolls_sideways(shift_page, fragment):
    page = shift_page(fragment)
    for width in (380, 768, 1400, 2200):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_everything_can_be_reached_by_tab(shift_page):
    page = shift_page()
    page.evaluate(
        "window.reached = []; addEventListener('focusin', ({ target }) =>"
        " reached.push(target.id || target.className))"
    )
    for _ in range(60):
        page.keyboard.press("Tab")
    reached = set(page.evaluate("reached"))
    controls = {"search", "dataset", "category", "tag", "sort", "least", "pair"}
    assert controls | {"skip", "stream", "next", "next-shifted", "reveal", "pick"} <= reached


def test_a_missing_data_file_is_told_where_the_answer_would_be(browser, shift_study, tmp_path):
    page = browser.new_page()
    alone = tmp_path / "shift.html"
    alone.write_bytes(shift_study.page.read_bytes())
    page.goto(alone.as_uri())
    told = page.locator("#answer .missing")
    sync_api.expect(told).to_contain_text("shift/prompts-0.js cannot be loaded")
    page.close()
