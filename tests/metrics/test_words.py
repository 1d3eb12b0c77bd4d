import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.metrics.words import (
    beginning,
    count_words,
    distinct,
    echo,
    joined,
    pieces,
    plain,
    repetition,
    sentences,
    words,
)

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


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" \n", 0),
        ("Don't panic - it's state-of-the-art.", 5),
        ("naïve cafe\u0301 — x² ½ 😀", 6),
        ("Добрый день", 2),
        ("안녕하세요 세계", 2),
        ("नमस्ते दुनिया", 2),
        ("天空是蓝色的。", 6),
        ("“天空”,是 蓝色的!", 6),
        ("使用“Python”编程，共 24 行。", 8),
        ("二〇二四年", 5),
        ("2024年", 2),
        ("コーヒーを飲む", 7),
        ("ㄅㄆ", 2),
        ("ท้องฟ้า", 5),
        ("ສະບາຍດີ", 6),
        ("ភាសា", 2),
        ("မြန်မာ", 3),
        ("བོད་སྐད།", 4),
    ],
)
def test_words_are_counted_at_spaces_or_by_character(text, count):
    assert count_words(text) == count


@given(st.text(st.characters(max_codepoint=0x2E7F, exclude_categories=["Cs", "Lo", "Lm", "N"])))
def test_words_of_a_script_with_spaces_are_those_between_them(text):
    assert count_words(text) == len(text.split())


def test_repetition_of_chinese_is_seen():
    assert words("天空 blue。") == ["天", "空", "blue"]
    assert repetition("天空是蓝色的天空是蓝色的", 4) == pytest.approx(3 / 9)
    assert echo("天空是什么颜色", "天空是什么颜色？") == 1


@pytest.mark.parametrize(
    ("text", "found", "three"),
    [
        ("It is, 5  o'clock\nnow.", ["It", "is,", "5", "o'clock", "now."], "It is, 5"),
        ("“天空”,是 蓝色的!", ["“天", "空”,", "是", "蓝", "色", "的!"], "“天空”,是"),
        ("用Python写，共 24 行。", ["用", "Python", "写，", "共", "24", "行。"], "用Python写，"),
        ("กิน ข้าว", ["กิ", "น", "ข้", "า", "ว"], "กิน ข้"),
        ("…", ["…"], "…"),
        ("", [], ""),
    ],
)
def test_words_stand_in_a_text_with_their_punctuation(text, found, three):
    assert pieces(text) == found
    assert beginning(text, 3) == three


def test_only_words_of_scripts_with_spaces_are_joined_by_them():
    assert joined(["It", "is", "so."]) == "It is so."
    assert joined(["世", "界。", "Python", "好"]) == "世界。 Python 好"
    assert joined([]) == ""


MIXED = st.text("ab'. \n天ก\u0e34い。９é")


@given(MIXED | st.text())
def test_pieces_are_the_text_but_for_its_white_space(text):
    found = pieces(text)
    assert "".join(found) == "".join(text.split())
    assert all(found)
    assert len(found) == count_words(text)
    assert beginning(text, len(found)) == " ".join(text.split())
