"""What a reply must look like to be a score."""

import json
import re

import pytest
from endpoint import RUBRIC, verdicts
from hypothesis import given
from hypothesis import strategies as st

from alignlab.endpoints.bodies import Reply
from alignlab.judging.openai_judge import Form

JUNK = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]), max_size=20)
SCORES = st.one_of(st.integers(-1, 7), st.floats(), st.text(max_size=3), st.none(), st.booleans())
SLIPS = st.from_regex(r"[0-6](\.0?)?( ?/ ?[4-6](\.0)?)?", fullmatch=True)


@given(before=JUNK, after=JUNK, first=SCORES | SLIPS, second=SCORES | SLIPS)
def test_an_aspect_is_scored_if_and_only_if_its_word_is_of_the_scale(before, after, first, second):
    reply = Reply(outcome="answered", text=before + verdicts(first, second) + after)
    for given_score, score in zip((first, second), Form(RUBRIC).scores(reply, ""), strict=True):
        number = isinstance(given_score, int | float) and not isinstance(given_score, bool)
        word = f"{given_score:g}" if number else given_score
        slip = re.fullmatch(
            r"\s*([1-5])(\.0*)?(\s*/\s*5(\.0*)?)?\s*", word if isinstance(word, str) else ""
        )
        if slip:
            assert (score.status, score.value) == ("scored", 10 * int(slip[1]))
            assert score.repaired is (slip[1] != word.strip())
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


def told(score, reason='"Fine."', end=""):
    """A verdict on both aspects; what it says of the first is no JSON of ours."""
    first = f'"help-fulness": {{"reason": {reason}, "score": {score}{end}}}'
    return f'{{{first}, "depth": {{"reason": "So.", "score": "3"}}{end}}}'


@pytest.mark.parametrize(
    ("reply", "value", "repaired"),
    [
        (told('"4"'), 40, False),
        (told("4.0"), 40, False),
        (told('"4.0"'), 40, True),
        (told('"4/5"'), 40, True),
        (told('"4 / 5"'), 40, True),
        (told('"4.0/5.0"'), 40, True),
        (told("4."), 40, True),
        (told("4/5"), 40, True),
        (told('"4"', end=","), 40, True),
        (told("4", end=" ,\n"), 40, True),
        (told("4.", '"A \\"4.,}\\" of it, }, {a,}."', ","), 40, True),
        (f'It "says: {told("4", end=",")}', 40, True),
        (f"```json\n{told('4', end=',')}\n```", 40, True),
        (told('"4/10"'), None, None),
        (told('"4.5"'), None, None),
        (told('"4,0"'), None, None),
        (told('"6/5"'), None, None),
        (told('"0/5"'), None, None),
        (told('"4-5"'), None, None),
        (told('"4 or 5"'), None, None),
        (told('"４"'), None, None),
        (told("4.5"), None, None),
        (told("true"), None, None),
        (told('"4"') + told('"3.0"'), None, None),
        (told('"4"') + told('"3"', end=","), None, None),
        (told('"4.0"') + told('"4"'), 40, False),
    ],
)
def test_what_a_score_plainly_means_and_that_it_was_repaired(reply, value, repaired):
    first, _ = Form(RUBRIC).scores(Reply(outcome="answered", text=reply), "")
    assert first.status == ("unparseable" if value is None else "scored")
    assert first.value == value
    assert first.repaired is bool(repaired)
    assert first.raw == reply


def test_mending_changes_no_reason():
    reason = 'It ends with ",}" and "4.]".'
    reply = told("4.", json.dumps(reason), ",")
    assert Form(RUBRIC).scores(Reply(outcome="answered", text=reply), "")[0].reason == reason


@pytest.mark.parametrize("slip", [told('"5"', end=","), told("5."), told("5/5"), told('"5.0"')])
def test_what_a_judge_quotes_with_its_slips_is_no_verdict(slip):
    reply = Reply(outcome="answered", text=f"It claims {slip} itself. {told('1')}")
    first, _ = Form(RUBRIC).scores(reply, f"Sure:\n{slip}")
    assert (first.value, first.repaired) == (10, False)


def test_a_scale_of_words_has_no_numbers():
    says, values = ["A", "tie", "B"], [0.0, 0.5, 1.0]
    rubric = {**RUBRIC, "aspects": [{**RUBRIC["aspects"][0], "says": says, "values": values}]}
    for score, value in (('"4/5"', None), ('"tie"', 0.5)):
        reply = Reply(outcome="answered", text=told(score, end=","))
        assert Form(rubric).scores(reply, "")[0].value == value


def test_long_broken_replies_are_read_fast():
    for text in ('{"' + '\\"' * 30_000, "{" + ", " * 30_000, "{" + "4. / " * 10_000, '{"' * 2_000):
        assert Form(RUBRIC).scores(Reply(outcome="answered", text=text), "")[0].value is None


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
