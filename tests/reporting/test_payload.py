"""What reaches the page's scripts: nothing breaks out of the element, and slices are sets."""

import json

from hypothesis import given
from hypothesis import strategies as st
from synthetic import ARMS, HOSTILE, embedded, make_study

from alignlab.reporting.payload import PROMPT_LIMIT, embed
from alignlab.reporting.report import build_report

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MARKUP = st.sampled_from(["</script>", "<!--", "<script", "-->", "]]>", "\u2028", "\u2029", "\x00"])


@given(st.lists(TEXT | MARKUP).map("".join))
def test_any_text_survives_and_none_can_end_the_element(text):
    embedded_text = str(embed({"text": text}))
    assert json.loads(embedded_text) == {"text": text}
    assert not set("<>\u2028\u2029") & set(embedded_text)


def test_each_set_of_prompts_is_one_slice(study):
    slices = embedded(study.page.read_text(encoding="utf-8"))["slices"]
    # mt-bench is all the regular prompts and strict all the safety ones.
    assert [(each["label"], each["prompts"]) for each in slices] == [
        ("all prompts", 36),
        ("mt-bench", 24),
        ("strict", 12),
    ]
    assert all(len(each["differences"]) == len(ARMS) - 1 for each in slices)


def test_answers_are_complete_and_stored_once_where_raw_and_text_agree(study):
    data = embedded(study.page.read_text(encoding="utf-8"))
    prompt = data["prompts"][0]
    answers = prompt["answers"]["zero-shot"]
    assert [answer["turn"] for answer in answers] == [0, 1]
    assert answers[0]["text"] == HOSTILE
    assert all(answer["raw"] != answer["text"] for answer in answers)


def test_a_large_experiment_embeds_the_first_prompts_and_says_so(tmp_path):
    made = make_study(tmp_path, regular=PROMPT_LIMIT + 5, safety=0, arms=ARMS[:1])
    build_report(**made.arguments)
    page = made.page.read_text(encoding="utf-8")
    ids = [prompt["id"] for prompt in embedded(page)["prompts"]]
    assert ids == [f"mt-bench/{81 + i}" for i in range(PROMPT_LIMIT)]
    assert f"Showing {PROMPT_LIMIT} of {PROMPT_LIMIT + 5} prompts" in page
