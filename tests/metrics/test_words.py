import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.metrics.words import distinct, echo, plain, repetition, sentences, words

TEXT = st.lists(st.sampled_from(["the", "cat", "sat", "on", "Mats"]), max_size=20).map(" ".join)


def test_words_drop_case_and_punctuation():
    assert words('Don\'t stop — it’s 3.5, "Really"!') == [
        "don't",
        "stop",
        "it’s",
        "3",
        "5",
        "really",
    ]


def test_repetition_counts_repeated_four_grams():
    assert repetition("a b c d", 4) == 0
    assert repetition("a b c", 4) is None
    assert repetition("no " * 10, 4) == pytest.approx(6 / 7)
    assert distinct("a b a b", 2) == pytest.approx(2 / 3)


def test_echo_of_a_question():
    question = "What is the capital of France?"
    assert echo(question, "What is the capital of Spain, you ask?") == pytest.approx(2 / 3)
    assert echo(question, question) == 1
    assert echo(question, "") is None
    assert echo("?", "Paris") is None
    assert echo("Why me?", "You ask: why me?") == 1
    assert echo("Why me?", "why not me") == 0


@given(TEXT)
def test_a_text_echoes_itself_and_shares_are_shares(text):
    assert echo(text, text) == (1 if text else None)
    share = repetition(text, 4)
    assert (share is None) == (len(text.split()) < 4)
    assert share is None or 0 <= share < 1


@given(TEXT, TEXT)
def test_case_changes_nothing(question, answer):
    assert echo(question, answer) == echo(question.upper(), answer.lower())
    assert distinct(answer, 2) == distinct(answer.upper(), 2)


def test_sentences_end_at_marks_and_lines():
    assert sentences("It’s so. Is it? *Yes!*\nNo end") == ["It's so.", "Is it?", "*Yes!", "No end"]


@given(st.text())
def test_no_sentence_is_empty_and_none_is_added(text):
    found = sentences(text)
    assert all(found)
    assert sum(map(len, found)) <= len(plain(text))
