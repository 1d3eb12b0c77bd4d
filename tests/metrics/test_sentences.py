from hypothesis import given
from hypothesis import strategies as st

from alignlab.metrics.sentences import plain, sentences


def test_sentences_end_at_marks_and_lines():
    assert sentences("It’s so. Is it? *Yes!*\nNo end") == ["It's so.", "Is it?", "*Yes!", "No end"]


@given(st.text())
def test_no_sentence_is_empty_and_none_is_added(text):
    found = sentences(text)
    assert all(found)
    assert sum(map(len, found)) <= len(plain(text))
