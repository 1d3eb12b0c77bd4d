"""Labelled tokens of every kind of example, with the tokenizers of the embedded models."""

import pytest
from lessons import CHAT, FRAMED, KINDS, MARKERS, check_masks, learnt
from transformers import AutoTokenizer

from alignlab.prompting.build import build_prompter
from alignlab.prompting.encode import encoder
from alignlab.tuning.examples import UNLABELLED, labelled, open_examples

pytestmark = pytest.mark.real


@pytest.fixture(scope="module", params=["gemma-3-270m", "smollm2-135m-instruct"])
def tokenizer(request, repository_root, real_model):
    found = AutoTokenizer.from_pretrained(real_model(request.param))
    if not found.chat_template:
        path = repository_root / "config/prompts/chat/gemma.jinja"
        found.chat_template = path.read_text(encoding="utf-8")
    return found


@pytest.mark.parametrize("method", [CHAT, FRAMED], ids=["chat", "framed"])
def test_masks(make_spec, tokenizer, method):
    examples = open_examples(make_spec(method=method), KINDS, tokenizer)
    check_masks(tokenizer, labelled(examples), KINDS, tokenizer.decode(examples.end))


def test_prompts_are_those_of_generation(make_spec, tokenizer):
    """The ids before the first labelled one, with the marker where an arm asks for it."""
    prompter = build_prompter(CHAT, tokenizer, None)
    markers = dict(zip(("good", "bad"), MARKERS, strict=True))
    hindsight = build_prompter({**CHAT, "hindsight": markers}, tokenizer, None)
    rows = labelled(open_examples(make_spec(), KINDS, tokenizer))
    for row, given in zip(rows, KINDS, strict=True):
        if given["markers"] == MARKERS[::-1]:
            continue  # the bad answer first: no arm asks for it
        asking = hindsight if given["markers"] == MARKERS else prompter
        asked = encoder(tokenizer, prompter)(asking.render([given["prompt"]], []))
        assert row["input_ids"][: len(asked)] == asked
        assert set(row["labels"][: len(asked)]) == {UNLABELLED}
        assert row["labels"][len(asked)] != UNLABELLED


def test_an_answer_that_begins_with_a_line_break_keeps_the_prompt(make_spec, tokenizer):
    row = {**KINDS[0], "completion": ["\n\nJupiter."]}
    examples = open_examples(make_spec(), [row], tokenizer)
    (ids,) = labelled(examples)
    prompter = build_prompter(CHAT, tokenizer, None)
    asked = encoder(tokenizer, prompter)(prompter.render([row["prompt"]], []))
    assert ids["input_ids"][: len(asked)] == asked
    assert tokenizer.decode(learnt(ids)) == "\n\nJupiter." + tokenizer.decode(examples.end)
