import pytest
from transformers import AutoTokenizer

from alignlab.errors import AlignlabError
from alignlab.prompting.build import build_prompter
from alignlab.prompting.encode import encoder
from alignlab.tuning.examples import UNLABELLED, choose_padding, labelled

CHAT = {"kind": "chat", "module": "alignlab.prompting.chat"}
FRAMED = {"kind": "zero-shot", "module": "alignlab.prompting.frame"}


@pytest.fixture
def tokenizer(repository_root):
    return AutoTokenizer.from_pretrained(repository_root / "config/catalog/tiny-tokenizer")


def rows_of(spec, tokenizer):
    prompter = build_prompter(spec["method"], tokenizer, None)
    return labelled(spec, tokenizer, prompter, encoder(tokenizer, prompter))


@pytest.mark.parametrize("method", [CHAT, FRAMED], ids=["chat", "framed"])
def test_the_loss_counts_the_answer_and_its_end_and_nothing_else(make_spec, tokenizer, method):
    spec = make_spec(method=method)
    prompter = build_prompter(method, tokenizer, None)
    encode = encoder(tokenizer, prompter)
    for row, pair in zip(rows_of(spec, tokenizer), spec["examples"], strict=True):
        ids, labels = row["input_ids"], row["labels"]
        learnt = [label for label in labels if label != UNLABELLED]
        assert tokenizer.decode(learnt) == pair["answer"] + "<eos>"
        assert labels[-len(learnt) :] == learnt == ids[-len(learnt) :]
        assert ids[: -len(learnt)] == encode(prompter.render([pair["query"]], []))
        assert ids.count(tokenizer.bos_token_id) == 1 == ids[0]


def test_a_template_without_bos_is_refused(make_spec, tokenizer):
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    with pytest.raises(AlignlabError, match="exactly one '<bos>'"):
        rows_of(make_spec(), tokenizer)


def test_a_long_example_is_named_and_never_cut(make_spec, tokenizer):
    spec = make_spec()
    longest = max(len(row["input_ids"]) for row in rows_of(spec, tokenizer))
    assert rows_of({**spec, "max_length": longest}, tokenizer) == rows_of(spec, tokenizer)
    with pytest.raises(AlignlabError, match=rf"example \d+ .*{longest} tokens .* {longest - 1}"):
        rows_of({**spec, "max_length": longest - 1}, tokenizer)


def test_an_empty_answer_is_named(make_spec, tokenizer, pairs):
    broken = [*pairs[:4], {"query": "Why?", "answer": ""}]
    with pytest.raises(AlignlabError, match=r"example 5 .'Why.'.: the answer is empty"):
        rows_of(make_spec(examples=broken), tokenizer)


def test_fewer_examples_than_a_batch_are_refused(make_spec, tokenizer, pairs):
    with pytest.raises(AlignlabError, match=r"3 examples .* batch_size is 4"):
        rows_of(make_spec(examples=pairs[:3], batch_size=4), tokenizer)


def test_a_tokenizer_without_an_end_is_refused(make_spec, tokenizer):
    tokenizer.eos_token = None
    with pytest.raises(AlignlabError, match="no token to end answers"):
        rows_of(make_spec(method=FRAMED), tokenizer)


def test_padding_is_never_the_end_of_an_answer(tokenizer):
    choose_padding(tokenizer)
    assert tokenizer.pad_token == "<pad>"
    tokenizer.pad_token = tokenizer.eos_token
    choose_padding(tokenizer)
    assert tokenizer.pad_token == "<bos>"
    tokenizer.pad_token = tokenizer.bos_token = tokenizer.eos_token
    with pytest.raises(AlignlabError, match="no special token but '<eos>'"):
        choose_padding(tokenizer)


def test_gemma_turns(repository_root, tokenizer):
    path = repository_root / "config/prompts/chat/gemma.jinja"
    tokenizer.chat_template = path.read_text(encoding="utf-8")
    prompter = build_prompter({**CHAT, "system": "Be kind."}, tokenizer, None)
    text = prompter.render([" One?\n", "Two?"], ["1"])
    assert text == (
        "<bos><start_of_turn>user\nBe kind.\n\n One?\n<end_of_turn>\n"
        "<start_of_turn>model\n1<end_of_turn>\n"
        "<start_of_turn>user\nTwo?<end_of_turn>\n"
        "<start_of_turn>model\n"
    )
    assert encoder(tokenizer, prompter)(text).count(tokenizer.bos_token_id) == 1
