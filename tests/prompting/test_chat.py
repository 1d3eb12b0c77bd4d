"""Chat templates: exact text and ids, what ends an answer, and which templates are refused."""

import copy

import pytest
from kinds import KINDS
from templates import CHATML, IM, REFUSED, TEMPLATES
from tokenizers import AddedToken

from alignlab.core.errors import AlignlabError
from alignlab.prompting import chat
from alignlab.prompting.config import ChatConfig
from alignlab.prompting.encode import Stopping, encoder

PLAIN = {key: key for key in "SQAR"}
BYTE_LEVEL = ("gpt2", "gpt2_appending", "llama3", "qwen", "neox", "opt", "glm", "t5")
HELD = {"S": "Be kind.", "Q": "Why is it so?", "A": "Because.", "R": "And then?"}


def given(kind, written_or_template, control=()):
    """A tokenizer with a template and its control tokens."""
    found = copy.deepcopy(KINDS[kind]())
    added = [AddedToken(t, special=True, normalized=False) for t in control]
    found.add_tokens(added, special_tokens=True)
    found.chat_template = written_or_template
    return found


def asked(tokenizer, written, held):
    method = {"kind": "chat", "system": held["S"], "chat_template_kwargs": written.settings}
    prompter = chat.prompter(method, tokenizer)
    return prompter, prompter.render([held["Q"], held["R"]], [held["A"]])


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_template_gives_exactly_its_text_and_ids_and_knows_its_end(name):
    written = TEMPLATES[name]
    tokenizer = given("qwen", written.template, written.control)
    prompter, text = asked(tokenizer, written, PLAIN)
    assert text == written.text
    assert [text[slice(*part)] for part in text.said] == list("SQAR")
    ids = encoder(tokenizer, prompter)(text)
    assert ids == tokenizer(str(text), add_special_tokens=False).input_ids
    if not written.end:
        assert prompter.stopping == Stopping()
    elif written.end in written.control:
        assert prompter.stopping.tokens == (tokenizer.convert_tokens_to_ids(written.end),)
        assert not prompter.stopping.strings + prompter.stopping.ends
    else:
        assert not prompter.stopping.tokens
        raw = (
            f"Because.\n\n{written.end} More?" if written.end[0] != " " else "Because. USER: More?"
        )
        assert prompter.stopping.cut(raw) == ("Because.", "stop_string")


@pytest.mark.parametrize("kind", KINDS)
def test_with_each_tokenizer_what_is_said_gives_no_control_token(kind):
    """Same template, same words, once with control tokens in them."""
    for written in TEMPLATES.values():
        template = "{{ bos_token }}" + written.template
        tokenizer = given(kind, template, written.control)
        control = sorted({*tokenizer.all_special_tokens, *written.control} - {tokenizer.unk_token})
        nasty = {key: f"{said} {' '.join(control)} and" for key, said in HELD.items()}
        prompter, text = asked(tokenizer, written, HELD)
        encode = encoder(tokenizer, prompter)
        calm, said = encode(text), asked(tokenizer, written, nasty)[1]
        assert calm == tokenizer(str(text), add_special_tokens=False).input_ids
        ids = encode(said)
        special = set(tokenizer.convert_tokens_to_ids(control))
        assert [i for i in ids if i in special] == [i for i in calm if i in special]
        if kind in BYTE_LEVEL:
            assert tokenizer.decode(ids) == said


@pytest.mark.parametrize("name", REFUSED)
def test_each_unfit_template_is_refused_by_name(name):
    template, message = REFUSED[name]
    tokenizer = given("qwen", template, (*IM, "<start_of_turn>", "<end_of_turn>"))
    with pytest.raises(AlignlabError, match=f"(?s)tiny: the chat template.*{message}"):
        chat.prompter({"kind": "chat", "system": "Be kind."}, tokenizer)


@pytest.mark.parametrize("name", ["gemma-2", "system-ignored", "alternating"])
def test_templates_without_a_place_for_it_work_without_system_text(name):
    tokenizer = given("qwen", REFUSED[name][0], (*IM, "<start_of_turn>", "<end_of_turn>"))
    assert chat.prompter({"kind": "chat"}, tokenizer).render(["Why?"], [])


def test_a_template_without_its_variable_is_refused_and_ours_are_not_set_by_others():
    tokenizer = given("qwen", CHATML, IM)
    with pytest.raises(AlignlabError, match=r"chat_template_kwargs: .* variable 'enable_thinking'"):
        chat.prompter({"chat_template_kwargs": {"enable_thinking": False}}, tokenizer)
    with pytest.raises(ValueError, match="messages is no variable"):
        ChatConfig(kind="chat", chat_template_kwargs={"messages": "x"})
    settings = {"enable_thinking": False}
    resolved = ChatConfig(kind="chat", chat_template_kwargs=settings).resolved()
    assert resolved == {"kind": "chat", "chat_template_kwargs": settings}
    assert ChatConfig(kind="chat").resolved() == {"kind": "chat"}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (" Because.\n", "Because."),
        ("<think>\nHm.\n</think>\n\nBecause.", "Because."),
        ("", ""),
        ("  ", None),
    ],
)
def test_white_space_and_reasoning_are_the_templates_own(said, kept):
    name = "qwen-3" if "think" in said else "llama-3"
    written = TEMPLATES[name]
    tokenizer = given("qwen", written.template, written.control)
    text = asked(tokenizer, written, HELD | {"A": said})[1]
    if kept:
        assert [text[slice(*part)] for part in text.said][2] == kept


def test_a_template_that_alters_what_was_said_is_refused():
    tokenizer = given("qwen", CHATML.replace("m.content", "m.content | replace('bad', 'good')"), IM)
    prompter = chat.prompter({}, tokenizer)
    with pytest.raises(AlignlabError, match="alters the user's turn 'Is it bad"):
        prompter.render(["Is it bad?"], [])


@pytest.mark.parametrize("special", [True, False])
def test_the_templates_end_is_found_whatever_the_tokenizer_calls_eos(special):
    tokenizer = given("qwen", CHATML)
    tokenizer.add_tokens([AddedToken(t, special=special, normalized=False) for t in IM])
    stopping = chat.prompter({}, tokenizer).stopping
    assert stopping.tokens == (tokenizer.convert_tokens_to_ids("<|im_end|>"),)
    raw = "Because.<|im_end|>"  # of a special token the text is never decoded
    assert stopping.cut(raw)[0] == (raw if special else "Because.")


def test_an_ordinary_token_that_ends_turns_is_text_in_a_question():
    tokenizer = given("qwen", CHATML)
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in IM])
    prompter = chat.prompter({}, tokenizer)
    ids = encoder(tokenizer, prompter)(prompter.render(["Why <|im_end|> so?"], []))
    assert ids.count(tokenizer.convert_tokens_to_ids("<|im_end|>")) == 1


def test_a_bos_before_the_next_turn_ends_nothing():
    template = "{% for m in messages %}{{ bos_token }}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    template += "{% if add_generation_prompt %}{{ bos_token }}assistant:{% endif %}"
    assert not chat.prompter({}, given("llama3", template)).stopping.tokens


def test_a_token_cannot_be_put_together_from_what_is_said_and_the_template():
    template = "{% for m in messages %}<|{{ m.content }}|>{% endfor %}<|im_start|>"
    tokenizer = given("qwen", template, IM)
    prompter = chat.prompter({}, tokenizer)
    ids = encoder(tokenizer, prompter)(prompter.render(["im_end"], []))
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") not in ids
    assert ids[-1] == tokenizer.convert_tokens_to_ids("<|im_start|>")
