"""What a reply must look like to be a score."""

import pytest
from endpoint import RUBRIC, verdicts
from hypothesis import given
from hypothesis import strategies as st

from alignlab.endpoints.replies import Reply
from alignlab.judging.openai_judge import Form

JUNK = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]), max_size=20)
SCORES = st.one_of(st.integers(-1, 7), st.floats(), st.text(max_size=3), st.none(), st.booleans())


@given(before=JUNK, after=JUNK, first=SCORES, second=SCORES)
def test_an_aspect_is_scored_if_and_only_if_its_word_is_of_the_scale(before, after, first, second):
    reply = Reply(outcome="answered", text=before + verdicts(first, second) + after)
    for given_score, score in zip((first, second), Form(RUBRIC).scores(reply, ""), strict=True):
        number = isinstance(given_score, int | float) and not isinstance(given_score, bool)
        word = f"{given_score:g}" if number else given_score
        wanted = word.strip() if isinstance(word, str) else None
        if wanted in ("1", "2", "3", "4", "5"):
            assert (score.status, score.value) == ("scored", 10 * int(wanted))
        else:
            assert (score.status, score.value) == ("unparseable", None)


@given(st.text(alphabet='{}[]":,1 \\help-fulnessdepthreasonscore\n', max_size=200))
def test_any_reply_is_read_without_an_error(text):
    for score in Form(RUBRIC).scores(Reply(outcome="answered", text=text), ""):
        assert score.status == "unparseable"


def test_a_deeply_nested_reply_is_read_without_an_error():
    text = '{"a":' * 20_000 + verdicts("4")
    (score, _) = Form(RUBRIC).scores(Reply(outcome="answered", text=text[:60_000]), "")
    assert score.status == "unparseable"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<think>{low}</think>{high}", 50),
        ("<think>\n{low} or {high}\n</think>\n\n{high}", 50),
        ("{low}\n</think>\n\n{high}", 50),
        ("<|channel|>analysis<|message|>{low}<|end|><|channel|>final<|message|>{high}", 50),
        ("<think>{high}", None),
        ("{low} {high}", None),
    ],
)
def test_a_verdict_in_a_judges_thoughts_is_none(text, value):
    for part, score in (("{low}", 1), ("{high}", 5)):
        text = text.replace(part, verdicts(score, score))
    for found in Form(RUBRIC).scores(Reply(outcome="answered", text=text), ""):
        assert found.value == value
        assert found.raw == text, "the reply as it came"
