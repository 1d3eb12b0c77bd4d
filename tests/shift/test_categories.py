import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from alignlab.shift.categories import CATEGORIES, RULES, categorise

PIECES = st.lists(
    st.one_of(
        st.sampled_from([" apolog", "ize", "Hello", "!", "\n", "1", ".", " can", "'", "t", " As"]),
        st.sampled_from(
            [" an", " AI", ",", " I", " hope", " this", " helps", "However", " 3", "�"]
        ),
        st.text(max_size=4),
    ),
    max_size=12,
)


def kinds(*pieces):
    return categorise(pieces, [False] * len(pieces))


def words(text):
    """Category of each word, number and mark of a text."""
    pieces = re.findall(r"\s*\w+(?:['’]\w+)*|\s*[^\w\s]+|\s+", text)
    return dict(zip((piece.strip() for piece in pieces), kinds(*pieces), strict=True))


def test_every_rule_is_of_a_category_and_in_its_order():
    assert [name for name in CATEGORIES if name in RULES] == list(RULES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello", "greeting_closer"),
        ("\n\nThank", "content"),
        ("Sure", "greeting_closer"),
        ("Great", "content"),
        ("However", "discourse_marker"),
        ("Remember", "discourse_marker"),
        ("sorry", "safety_disclaimer"),
        ("can’t", "safety_disclaimer"),
        ("unethical", "safety_disclaimer"),
        ("\n- ", "format"),
        ("**", "format"),
        ("🙂", "format"),
        ("you're", "pronoun_address"),
        ("it's", "function_word"),
        ("3,000.5", "digit"),
        ("US", "content"),
        ("us", "pronoun_address"),
        ("Chihuahua's", "content"),
        ("Überraschung", "content"),
    ],
)
def test_words_on_their_own(text, expected):
    assert kinds(text) == [expected]


def test_a_piece_has_the_category_of_its_word():
    assert kinds("I", " apolog", "ize", ".") == [
        *("pronoun_address", "safety_disclaimer", "safety_disclaimer", "format")
    ]
    assert kinds(" can", "'", "t") == ["safety_disclaimer"] * 3
    assert kinds(" How", "ever", ",") == ["discourse_marker"] * 2 + ["format"]
    assert kinds(" can", " t") == ["function_word", "content"]
    assert kinds(" ho", "ver", "craft") == ["content"] * 3
    assert kinds(" 3", ".", "14") == ["digit"] * 3
    assert kinds(" (", "harm", "ful", ")") == [
        *("format", "safety_disclaimer", "safety_disclaimer", "format")
    ]


def test_phrases_are_taken_whole():
    found = words("As an AI language model, I must not.")
    assert [word for word, kind in found.items() if kind == "safety_disclaimer"] == [
        *("As", "an", "AI", "language", "model")
    ]
    assert kinds("I", " hope", " this", " helps", "!") == ["greeting_closer"] * 4 + ["format"]
    assert kinds("Thank", " you", " for", " asking") == [
        *("greeting_closer", "greeting_closer", "function_word", "content")
    ]


def test_openers_count_only_where_a_sentence_starts():
    assert words("Great question! The Great Lakes")["question"] == "greeting_closer"
    assert words("the Great Lakes")["Great"] == "content"
    assert kinds("Here", " are", " dogs") == ["discourse_marker", "function_word", "content"]
    assert kinds("Dogs", " are", " here") == ["content", "function_word", "function_word"]
    assert kinds("1", ".", " **", "Remember", "**")[3] == "discourse_marker"
    assert kinds("First", ",", " stir")[0] == "discourse_marker"
    assert kinds("First", " class")[0] == "content"


def test_responsible_for_is_no_ethics():
    assert words("a responsible choice")["responsible"] == "safety_disclaimer"
    assert words("responsible for digestion")["responsible"] == "content"


def test_list_numbers_are_format_and_other_numbers_are_not():
    assert kinds("Two", ":\n", "1", ".", " Mix", "\n", "12", ")", " Eat", " 3", " eggs") == [
        *("content", "format", "format", "format", "content", "format", "format", "format"),
        *("content", "digit", "content"),
    ]
    assert kinds("1", " egg") == ["digit", "content"]
    assert kinds("2023", ".") == ["digit", "format"]


@given(PIECES, st.data())
def test_one_category_a_token_and_special_is_special(pieces, data):
    special = data.draw(st.lists(st.booleans(), min_size=len(pieces), max_size=len(pieces)))
    found = categorise(pieces, special)
    assert len(found) == len(pieces)
    assert set(found) <= set(CATEGORIES)
    assert [kind == "special" for kind in found] == special


@given(PIECES, st.data())
def test_where_the_tokenizer_cuts_changes_no_other_token(pieces, data):
    place = data.draw(st.integers(0, max(0, len(pieces) - 1)))
    cut = data.draw(st.integers(0, len(pieces[place]))) if pieces else 0
    halves = [pieces[place][:cut], pieces[place][cut:]] if pieces else []
    before, after = kinds(*pieces), kinds(*pieces[:place], *halves, *pieces[place + 1 :])
    assert after[:place] == before[:place]
    assert after[place + len(halves) :] == before[place + 1 :]


@given(PIECES, PIECES)
def test_a_special_token_parts_what_is_on_both_sides(left, right):
    whole = categorise([*left, "</s>", *right], [False] * len(left) + [True] + [False] * len(right))
    assert whole == [*kinds(*left, "\n")[:-1], "special", *kinds("\n", *right)[1:]]


def test_with_a_real_tokenizer(repository):
    tokenizer = AutoTokenizer.from_pretrained("config/catalog/tiny-tokenizer")
    text = "Hello! I apologize, but I cannot help. However:\n1. Unethical things"
    ids = [*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    pieces = [tokenizer.decode([id_]) for id_ in ids]
    found = categorise(pieces, [id_ in tokenizer.all_special_ids for id_ in ids])
    by_kind = dict.fromkeys(found, "")
    for piece, kind in zip(pieces, found, strict=True):
        by_kind[kind] += piece
    assert by_kind["greeting_closer"] == "Hello"
    assert by_kind["safety_disclaimer"] == " apologize cannot Unethical"
    assert by_kind["discourse_marker"] == "However"
    assert by_kind["format"] == "!,. :\n1."
    assert by_kind["special"] == "<eos>"
    assert len(found) > len(text.split()) + 6
