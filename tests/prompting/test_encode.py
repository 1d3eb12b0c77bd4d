import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from alignlab.core.errors import AlignlabError
from alignlab.prompting import chat, frame
from alignlab.prompting.encode import common_prefix, encoder, shared_prefix

METHOD = {"system": "Be kind.", "examples": [{"query": "Hi?", "answer": "Hello!"}]}


@pytest.fixture(scope="session")
def tokenizer(repository_root):
    return AutoTokenizer.from_pretrained(repository_root / "config/catalog/tiny-tokenizer")


@pytest.mark.parametrize("kind", ["zero-shot", "urial", "chat"])
def test_exactly_one_bos(tokenizer, kind):
    prompter = {
        "zero-shot": lambda: frame.prompter({}),
        "urial": lambda: frame.prompter(METHOD),
        "chat": lambda: chat.prompter({"system": "Be kind."}, tokenizer),
    }[kind]()
    ids = encoder(tokenizer, prompter)(prompter.render(["Why?"], []))
    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1


def test_a_template_that_doubles_the_bos_is_refused(tokenizer):
    prompter = chat.prompter({}, tokenizer)
    with pytest.raises(AlignlabError, match="exactly one '<bos>'"):
        encoder(tokenizer, prompter)("<bos><bos>Why?")


def test_a_tokenizer_without_template_is_refused(repository_root):
    bare = AutoTokenizer.from_pretrained(repository_root / "config/catalog/tiny-tokenizer")
    bare.chat_template = None
    with pytest.raises(AlignlabError, match="no chat template; set `chat_template`"):
        chat.prompter({}, bare)


def test_chat_renders_system_turns_and_answers(tokenizer):
    prompter = chat.prompter({"system": "Be kind.", "guidance": "Be good."}, tokenizer)
    text = prompter.render(["One?", "Two?"], ["First."])
    assert [text.index(part) for part in ("Be kind.", "One?", "First.", "Two?")] == sorted(
        text.index(part) for part in ("Be kind.", "One?", "First.", "Two?")
    )
    assert text.count("Be good.") == 2


@given(st.text(min_size=1))
def test_prompts_of_an_arm_share_the_prefix_or_are_run_without_it(tokenizer, query):
    prompter = frame.prompter(METHOD)
    encode = encoder(tokenizer, prompter)
    prefix = shared_prefix(prompter, encode)
    ids = encode(prompter.render([query], []))
    # All but the last few tokens, which the question's first characters may merge with.
    assert ids[: len(prefix) - 2] == prefix[:-2]
    assert len(ids) > len(prefix)


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_common_prefix_is_the_longest(a, b):
    common = common_prefix(a, b)
    n = len(common)
    assert a[:n] == b[:n] == common
    assert n in (len(a), len(b)) or a[n] != b[n]
