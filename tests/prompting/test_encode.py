import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinds import KINDS
from tokenizers import processors
from transformers import AutoTokenizer

from alignlab.core.errors import AlignlabError
from alignlab.prompting import chat, frame
from alignlab.prompting.encode import common_prefix, encoder, framing, shared_prefix

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


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_prompt_has_the_tokenizers_ids_without_what_comes_after_a_text(kind):
    tokenizer = KINDS[kind]()
    before, after = framing(tokenizer)
    encode = encoder(tokenizer, frame.prompter({}))
    for text in ("Why?", " Why?\n\n", "première — 日本語 🙂  12", "a"):
        whole = tokenizer(text).input_ids
        assert encode(text) == whole[: len(whole) - len(after)]
        assert encode(text)[: len(before)] == before
        assert len(encode.tokens(text).offsets) == len(encode(text))
    assert (kind in APPENDING) == bool(after)


APPENDING = ("gpt2_appending", "roberta", "llama2_appending", "t5", "bert")


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_text_gives_no_control_token(kind):
    tokenizer = KINDS[kind]()
    encode = encoder(tokenizer, frame.prompter({}))
    text = f"Explain {' '.join(tokenizer.all_special_tokens)} please"
    ids = encode(text)[len(framing(tokenizer)[0]) :]
    split = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
    if kind == "unigram":  # transformers' own gives the control tokens, SentencePiece does not
        assert tokenizer.decode(ids) == text
        assert len(ids) > len(split)
    else:
        assert ids == split
    assert not set(ids) & (set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})


def test_a_text_that_cannot_be_told_from_control_tokens_is_refused(tokenizer):
    encode = encoder(tokenizer, frame.prompter({}))
    for text in ("Why <eos> \U000f0000?", "<bos>\uffff"):
        with pytest.raises(AlignlabError, match=r"a text says '<.os>', which .* control token"):
            encode(text)


@given(st.text(max_size=30), st.sampled_from(sorted(KINDS)))
def test_any_text_has_the_tokenizers_ids_and_offsets(text, kind):
    tokenizer = KINDS[kind]()
    found = encoder(tokenizer, frame.prompter({})).alone(text)
    assert found.ids == tokenizer(text, add_special_tokens=False).input_ids
    assert all(0 <= start <= stop <= len(text) for start, stop in found.offsets)


def test_an_answer_that_names_a_control_token_has_offsets_of_its_own_text(tokenizer):
    prompter = chat.prompter({}, tokenizer)
    encode = encoder(tokenizer, prompter)
    asked = prompter.render(["Why <eos>?"], [])
    found = encode.tokens(asked + "It is <eos>, dear.")
    assert found.ids[: len(encode(asked))] == encode(asked)
    text = asked + "It is <eos>, dear."
    pieces = [text[start:stop] for start, stop in found.offsets[len(encode(asked)) :]]
    assert "".join(pieces) == "It is <eos>, dear."
    assert found.ids.count(tokenizer.eos_token_id) == 1  # the template's, after the question


def test_a_tokenizer_that_alters_what_it_frames_is_refused():
    tokenizer = copy.deepcopy(KINDS["gpt2"]())
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    with pytest.raises(AlignlabError, match="does not put its special tokens around a text"):
        encoder(tokenizer, frame.prompter({}))
