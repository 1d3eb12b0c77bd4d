import pytest

from alignlab.learning.analyses import whole_sentences


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("It is bad. It also hur", "It is bad."),
        ('He said "no." Then he we', 'He said "no."'),
        ("Version 2.5 of it", ""),
        ("All said!", "All said!"),
        ("Two reasons\n- one\n- tw", "Two reasons\n- one"),
        ("", ""),
    ],
)
def test_the_length_limit_leaves_whole_sentences(text, kept):
    assert whole_sentences(text, "length") == kept
    assert whole_sentences(text, "eos") == text
