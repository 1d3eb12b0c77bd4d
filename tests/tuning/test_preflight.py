import pytest
from lessons import CHAT
from transformers import AutoTokenizer

from alignlab.core.errors import AlignlabError
from alignlab.prompting.build import build_prompter
from alignlab.tuning.preflight import UNLABELLED, check_example, check_turns, choose_padding


@pytest.fixture
def tokenizer(repository_root):
    return AutoTokenizer.from_pretrained(repository_root / "config/catalog/tiny-tokenizer")


ASSISTANT_DROPPED = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
LAST_TURN_ONLY = "{{ messages[-1].content }}"
QUESTION_DROPPED = "{% for m in messages if m.role != 'user' %}{{ m.content }}{% endfor %}"
REFUSING = "{{ raise_exception('one turn only') }}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (ASSISTANT_DROPPED, "tuned: the chat template drops the assistant's turn"),
        (LAST_TURN_ONLY, "tuned: the chat template drops the user's turn"),
        (QUESTION_DROPPED, "tuned: the chat template drops the user's turn"),
        (REFUSING, "tuned: the chat template refuses a conversation: one turn only"),
    ],
)
def test_a_template_that_drops_a_turn_is_refused(tokenizer, template, message):
    tokenizer.chat_template = template
    with pytest.raises(AlignlabError, match=message):
        check_turns(build_prompter(CHAT, tokenizer, None), "tuned")


def test_good_templates_pass(tokenizer, repository_root):
    check_turns(build_prompter(CHAT, tokenizer, None), "tuned")
    tokenizer.chat_template = (repository_root / "config/prompts/chat/gemma.jinja").read_text()
    check_turns(build_prompter(CHAT, tokenizer, None), "tuned")


def test_padding_is_never_the_end_of_an_answer(tokenizer):
    choose_padding(tokenizer)
    assert tokenizer.pad_token == "<pad>"
    tokenizer.pad_token = tokenizer.eos_token
    choose_padding(tokenizer)
    assert tokenizer.pad_token == "<bos>"
    tokenizer.pad_token = tokenizer.bos_token = tokenizer.eos_token
    with pytest.raises(AlignlabError, match="no special token but '<eos>'"):
        choose_padding(tokenizer)
    tokenizer.eos_token = None
    with pytest.raises(AlignlabError, match="no token to end answers"):
        choose_padding(tokenizer)


BOS, EOS = "bos", "eos"


@pytest.mark.parametrize(
    ("ids", "first_labelled", "message"),
    [
        ([BOS, 5, 6, EOS], 2, None),
        ([BOS, 5, 6, 7], 2, "'<eos>' must stand once in the labels.* stands there 0 times"),
        ([BOS, 5, EOS, 6, EOS], 2, "stands there 2 times"),
        ([BOS, EOS, 5, EOS], 2, None),
        ([BOS, 5, EOS, 6], 2, "must stand once in the labels, at the end"),
        ([BOS, 5, 6, EOS], 3, "no token of the answer carries loss"),
        ([5, 6, 7, EOS], 2, "exactly one '<bos>' is expected, not 0"),
        ([BOS, 5, BOS, 6, EOS], 3, "exactly one '<bos>' is expected, not 2"),
        ([BOS, 5, 6, 7, 8, 9, EOS], 2, "7 tokens are more than max_length, 6"),
    ],
)
def test_each_fault_of_an_example_is_named(tokenizer, ids, first_labelled, message):
    special = {BOS: tokenizer.bos_token_id, EOS: tokenizer.eos_token_id}
    ids = [special.get(token, token) for token in ids]
    labels = [UNLABELLED] * first_labelled + ids[first_labelled:]
    row = {"input_ids": ids, "labels": labels}
    if message is None:
        check_example("row", row, tokenizer, 6)
    else:
        with pytest.raises(AlignlabError, match=f"row: .*{message}"):
            check_example("row", row, tokenizer, 6)
