"""The texts of learning from mistakes: every place filled, none unknown."""

import json

import pytest

from alignlab.core.errors import AlignlabError
from alignlab.prompting.prompt_files import constant_prompt, hijacking, lfm_texts

GOOD = {
    "guided": "{instruction} {response}",
    "unguided": "{response} {instruction}",
    "revision": "{instruction} {response} {analysis}",
    "verdict": "Bad.",
    "good_marker": "Good:",
    "bad_marker": "Bad:",
}


@pytest.fixture
def file(repository, tmp_path):
    def write(content):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)

    return write


def test_texts_are_given_by_key(file):
    assert lfm_texts(file(GOOD)) == GOOD


@pytest.mark.parametrize("name", ["lfm/harm", "lfm/attack"])
def test_shipped_texts_are_valid_and_only_the_guided_one_says_bad(repository, name):
    found = lfm_texts(name)
    assert found.keys() == GOOD.keys()
    assert "is harmful" in found["guided"] or "is wrong" in found["guided"]
    assert "whether" in found["unguided"]
    assert " or " in found["unguided"].split("whether")[1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"guided": "{instruction}"}, "guided: {response} is missing"),
        ({"guided": "{instruction} {answer}"}, "guided: {answer} is unknown; places are {inst"),
        ({"unguided": "{instruction} {response} {analysis}"}, "unguided: {analysis} is unknown"),
        ({"revision": "{instruction} {response}"}, "revision: {analysis} is missing"),
        ({"verdict": ""}, "verdict: "),
        ({"marker": "x"}, "marker: "),
    ],
)
def test_a_wrong_file_names_file_key_and_place(file, changes, expected):
    path = file(GOOD | changes)
    with pytest.raises(AlignlabError) as caught:
        lfm_texts(path)
    assert str(caught.value).startswith(f"{path}: {expected}")


def test_a_missing_key_is_named(file):
    with pytest.raises(AlignlabError, match="verdict: Field required"):
        lfm_texts(file({key: text for key, text in GOOD.items() if key != "verdict"}))


def test_hijacking_texts_are_those_of_the_topics(file):
    texts = {"injections": {"one": "{question} {target}"}, "targets": {"a": ["x"], "b": ["y"]}}
    assert hijacking(file(texts), ("b",)) == {**texts, "targets": {"b": ["y"]}}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"injections": {"one": "{question}"}}, "injections.one: {target} is missing"),
        ({"injections": {}}, "injections: "),
        ({"targets": {"a": []}}, "targets.a: "),
    ],
)
def test_wrong_hijacking_texts_name_the_place(file, texts, expected):
    whole = {"injections": {"one": "{question} {target}"}, "targets": {"a": ["x"]}}
    path = file(whole | texts)
    with pytest.raises(AlignlabError) as caught:
        hijacking(path, ("a",))
    assert str(caught.value).startswith(f"{path}: {expected}")


FENCED = "# Query:\n```\nHi?\n```\n\n# Answer:\n```\nHello.\n```\n"
INLINE = "# Query:\n```Hi?``` \n\n# Answer:\n```  \nHello.\n```"
PLAIN = "# User:\n\nHi?\n\n\n# Assistant:\n\nHello.\n"
HEAD = "# Instruction\n\nBe kind to each User: and Query: you meet.\n\n"


@pytest.fixture
def text_file(repository, tmp_path):
    def write(text):
        path = tmp_path / "prompt.txt"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.mark.parametrize(
    ("text", "style"),
    [
        (HEAD + FENCED + "\n" + FENCED, "fenced"),
        (HEAD + INLINE + "\n\n" + INLINE, "inline"),
        (HEAD + PLAIN + "\n\n" + PLAIN, "plain"),
        (HEAD, "inline"),
    ],
)
def test_each_known_style_is_kept_byte_for_byte(text_file, text, style):
    assert constant_prompt(text_file(text), None, True) == {"style": style, "prefix": text}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "User:\nHi?\n\nAssistant:\nHello.\n", "a question that begins 'User:' is in no"),
        ("### Human:\nHi?\n", "a question that begins '### Human:' is in no style"),
        (HEAD + "# User:\nHi?\n\n\n# Assistant:\nHello.\n", r"1: .* '# User:.*Hi.* no style"),
        (HEAD + "# Query:\n\nHi?\n\n# Answer:\n\nHello.\n", r"1: .* '# Query:.*Hi.* no style"),
        (HEAD + "# Query:\n```\nHi?\n```\n# Answer:\nHello.\n", "example 1: .* no style"),
        (
            HEAD + FENCED + INLINE,
            "example 1 is in the fenced style and example 2 in the inline one",
        ),
        (HEAD + PLAIN + FENCED, "example 1 is in the plain style and example 2 in the fenced one"),
    ],
)
def test_another_style_is_refused_and_named(text_file, text, message):
    path = text_file(text)
    with pytest.raises(AlignlabError, match=message) as caught:
        constant_prompt(path, None, True)
    assert str(caught.value).startswith(path)
