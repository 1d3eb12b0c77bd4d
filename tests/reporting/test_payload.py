"""What reaches the page and its scripts: nothing breaks out of the element or its direction."""

import html
import json
import re

from hypothesis import given
from hypothesis import strategies as st
from synthetic import ARMS, HOSTILE, embedded, make_study

from alignlab.reporting.page import CONTROL, embed, visible
from alignlab.reporting.report import PROMPT_LIMIT, build_report

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MARKUP = st.sampled_from(["</script>", "<!--", "<script", "-->", "]]>", "\u2028", "\u2029", "\x00"])


@given(st.lists(TEXT | MARKUP).map("".join))
def test_any_text_survives_and_none_can_end_the_element(text):
    embedded_text = str(embed({"text": text}))
    assert json.loads(embedded_text) == {"text": text}
    assert not set("<>\u2028\u2029") & set(embedded_text)


@given(st.lists(TEXT | MARKUP).map("".join))
def test_text_in_the_page_itself_is_escaped_and_its_controls_spelled_out(text):
    shown = str(visible(text))
    assert not set("\u2028\u2029\u202e\x00\x07\u200f") & set(shown)
    inner = shown.removeprefix('<bdi dir="auto">').removesuffix("</bdi>")
    named = r'<span class="control" title="control character U\+[0-9A-F]{4,6}">'
    plain = re.sub(rf"{named}([\u2400-\u2421]|U\+[0-9A-F]{{4,6}})</span>", "", inner)
    assert not set("<>") & set(plain)
    assert html.unescape(plain) == CONTROL.sub("", text)


def test_answers_are_complete_and_stored_once_where_raw_and_text_agree(study):
    data = embedded(study.page.read_text(encoding="utf-8"))
    prompt = data["prompts"][0]
    answers = prompt["answers"]["zero-shot"]
    assert [answer["turn"] for answer in answers] == [0, 1]
    assert answers[0]["text"] == HOSTILE
    assert all(answer["raw"] != answer["text"] for answer in answers)


def test_a_large_experiment_embeds_the_first_prompts_and_says_so(tmp_path):
    made = make_study(tmp_path, regular=PROMPT_LIMIT + 5, safety=0, arms=ARMS[:1])
    build_report(made.job)
    page = made.page.read_text(encoding="utf-8")
    ids = [prompt["id"] for prompt in embedded(page)["prompts"]]
    assert ids == [f"mt-bench/{81 + i}" for i in range(PROMPT_LIMIT)]
    assert f"Showing {PROMPT_LIMIT} of {PROMPT_LIMIT + 5} prompts" in page
