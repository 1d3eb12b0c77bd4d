"""Tokens and their panel in real headless Chromium: what is shown, veiled and made harmless."""

import pytest
from shift_reading import HOSTILE, SAFETY, chosen, opens, sync_api
from synthetic_shift import HOSTILE_PIECES

pytestmark = pytest.mark.browser


def test_tokens_have_their_class_by_colour_and_by_line(shift_page, shift_answers):
    page = shift_page()
    rows = shift_answers["mt-bench/81"]
    tokens = page.locator("#stream [role=option]")
    found = [
        name.split()[1] for name in tokens.evaluate_all("(all) => all.map((n) => n.className)")
    ]
    assert found == [row["shift_class"] for row in rows]
    styles = {}
    for name in {"unshifted", "marginal", "shifted"} & set(found):
        styles[name] = page.locator(f"#stream .{name}").first.evaluate(
            "(n) => { const s = getComputedStyle(n);"
            " return [s.textDecorationLine + s.textDecorationStyle, s.backgroundColor]; }"
        )
    assert len({line for line, _ in styles.values()}) == len(styles) > 1
    assert len({colour for _, colour in styles.values()}) == len(styles)


def test_a_click_shows_what_both_models_thought(shift_page, shift_answers):
    page = shift_page()
    at = 5
    page.locator("#t5").click()
    row = shift_answers["mt-bench/81"][at]
    said = page.locator("#said").inner_text()
    assert f"position {at}, base rank {row['base_rank']}" in said
    assert row["shift_class"] in said
    for place, model in enumerate(("base", "aligned")):
        table = page.locator(".tops table").nth(place)
        marked = table.locator("tr.mine")
        assert marked.count() == 1
        ids = table.locator("th").evaluate_all("(all) => all.map((n) => n.title)")
        expected = [f"token id {each}" for each in row[f"{model}_topk_ids"]]
        assert ids[:10] == expected
        assert marked.locator("th").get_attribute("title") == f"token id {row['token_id']}"


def test_a_token_outside_the_top_ten_has_its_rank(shift_page, shift_answers):
    rows = next(
        rows for rows in shift_answers.values() if any(row["base_rank"] > 10 for row in rows)
    )
    at = next(place for place, row in enumerate(rows) if row["base_rank"] > 10)
    prompt = rows[0]["prompt_id"].replace("/", "%2F")
    page = shift_page(f"#pair=smol-own&prompt={prompt}&token={at}")
    outside = page.locator(".tops table").first.locator("tr.outside")
    assert outside.locator(".rank").inner_text() == str(rows[at]["base_rank"])
    assert page.locator(".tops table").nth(1).locator("tr.outside").count() == 0


def test_safety_answers_are_veiled_until_each_is_opened(shift_page):
    page = shift_page(f"{SAFETY}&token=3")
    stream = page.locator("#stream")
    assert "blur" in stream.evaluate("(node) => getComputedStyle(node).filter")
    assert page.locator(".tops").count() == 0
    page.keyboard.press("ArrowRight")
    assert page.locator(".tops").count() == 0
    page.locator(".unveil").press("Enter")
    assert stream.evaluate("(node) => getComputedStyle(node).filter") == "none"
    assert (chosen(page), page.locator(".tops").count()) == (3, 1)
    page.keyboard.press("n")
    opens(page, "strict/1")
    sync_api.expect(page.locator(".unveil")).to_be_visible()
    page.keyboard.press("p")
    opens(page, "strict/0")
    assert page.locator(".unveil").count() == 0


def test_all_safety_answers_can_be_revealed_and_are_not_at_first(shift_page):
    page = shift_page(SAFETY)
    assert not page.locator("#reveal").is_checked()
    sync_api.expect(page.locator("#prompts [aria-current]")).to_be_in_viewport()
    page.locator("#reveal").check()
    assert page.locator(".veiled").count() == 0
    page.locator("#reveal").uncheck()
    assert page.locator(".veiled").count() == 1


def test_hostile_text_is_text(shift_page):
    page = shift_page(HOSTILE)
    shown = page.locator("#stream").inner_text()
    for piece in HOSTILE_PIECES[:4]:
        assert piece in shown
    for sign in ("U+202E", "U+202C", "\u2407", "U+2028", "U+200F", "\u2400"):
        assert sign in shown
    assert not set("\u202e\u202c\x07\u2028\u200f\x00") & set(page.locator("body").inner_text())
    assert page.locator("article, #token, #top-tokens").locator("script, img").count() == 0
    assert (
        page.locator("#stream bdi").evaluate("(n) => getComputedStyle(n).unicodeBidi") == "isolate"
    )
    for at in range(len(HOSTILE_PIECES)):
        page.keyboard.press("ArrowRight")
        piece = page.locator("#said bdi")
        assert piece.evaluate("(n) => getComputedStyle(n).unicodeBidi") == "isolate", at
    assert page.evaluate("window.pwned") is None


def test_halves_of_surrogate_pairs_are_spelled_out(shift_page):
    page = shift_page()
    assert page.evaluate(r"modelText('a\ud83d b\udc00 \ud83d\ude00').textContent") == (
        "aU+D83D bU+DC00 😀"
    )


def test_line_breaks_are_marked_and_break_the_line(shift_page, shift_answers):
    at, row = next(
        (i, row) for i, row in enumerate(shift_answers["mt-bench/81"]) if "\n" in row["token"]
    )
    page = shift_page(f"#pair=smol-own&prompt=mt-bench%2F81&token={at}")
    assert page.locator(f"#t{at}").evaluate("(n) => n.textContent") == row["token"].replace(
        "\n", "⏎\n"
    )
    after = page.locator(f"#t{at + 1}").bounding_box()
    before = page.locator(f"#t{at - 1}").bounding_box()
    assert after["y"] > before["y"]
    assert "⏎" in page.locator("#said").inner_text()
