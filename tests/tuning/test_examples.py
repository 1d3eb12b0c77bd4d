from contextlib import chdir

import pytest
from lessons import CHAT, FRAMED, KINDS, MARKERS, SHAPE, SHAPES, WHERE, check_masks, learnt
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.engines.base import end_ids
from alignlab.prompting.build import build_prompter
from alignlab.prompting.encode import encoder
from alignlab.sources.models import from_seed
from alignlab.tuning.examples import (
    UNLABELLED,
    check_example,
    choose_padding,
    labelled,
    open_examples,
    preferences,
)
from alignlab.tuning.fit import TuneJob, finetune


@pytest.fixture
def tokenizer(repository_root):
    return AutoTokenizer.from_pretrained(repository_root / "config/catalog/tiny-tokenizer")


def rows_of(spec, rows, tokenizer):
    return labelled(open_examples(spec, rows, tokenizer))


@pytest.mark.parametrize("method", [CHAT, FRAMED], ids=["chat", "framed"])
def test_the_loss_counts_the_answer_and_its_end_and_nothing_else(
    make_spec, answers, tokenizer, method
):
    prompter = build_prompter(method, tokenizer, None)
    encode = encoder(tokenizer, prompter)
    rows = rows_of(make_spec(method=method), answers, tokenizer)
    for row, given in zip(rows, answers, strict=True):
        ids, labels = row["input_ids"], row["labels"]
        counted = learnt(row)
        assert tokenizer.decode(counted) == given["completion"][0] + "<eos>"
        assert labels[-len(counted) :] == counted == ids[-len(counted) :]
        assert ids[: -len(counted)] == encode(prompter.render([given["prompt"]], []))
        assert ids.count(tokenizer.bos_token_id) == 1 == ids[0]


@pytest.mark.parametrize("method", [CHAT, FRAMED], ids=["chat", "framed"])
def test_what_each_kind_learns(make_spec, tokenizer, method):
    check_masks(tokenizer, rows_of(make_spec(method=method), KINDS, tokenizer), KINDS, "<eos>")


def test_ids_are_those_of_the_whole_text(make_spec, tokenizer):
    rows = rows_of(make_spec(), KINDS, tokenizer)
    prompter = build_prompter(CHAT, tokenizer, None)
    for row, given in zip(rows, KINDS, strict=True):
        parts = zip(given["markers"], given["completion"], strict=True)
        answer = "\n\n".join(f"{marker} {piece}" if marker else piece for marker, piece in parts)
        text = prompter.render([given["prompt"]], []) + answer
        assert row["input_ids"][:-1] == encoder(tokenizer, prompter)(text)


def test_hindsight_is_learnt_as_it_is_asked(make_spec, tokenizer):
    """The prompt of an arm with a marker is what stands before the first labelled token."""
    row = next(row for row in KINDS if row["markers"] == MARKERS)
    (ids,) = rows_of(make_spec(), [row], tokenizer)
    method = {**CHAT, "hindsight": dict(zip(("good", "bad"), MARKERS, strict=True))}
    prompter = build_prompter(method, tokenizer, None)
    asked = encoder(tokenizer, prompter)(prompter.render([row["prompt"]], []))
    assert ids["input_ids"][: len(asked)] == asked
    assert set(ids["labels"][: len(asked)]) == {UNLABELLED}
    assert ids["labels"][len(asked)] != UNLABELLED


def test_an_answer_that_would_merge_with_the_prompt_is_tokenised_alone(make_spec, tokenizer):
    tokenizer.chat_template = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
    prompter = build_prompter(CHAT, tokenizer, None)
    encode = encoder(tokenizer, prompter)
    prompt, whole = encode("<bos>Tell me th"), encode("<bos>Tell me there is.")
    assert whole[: len(prompt)] != prompt
    row = {**KINDS[0], "prompt": "Tell me th", "completion": ["ere is."]}
    (ids,) = rows_of(make_spec(), [row], tokenizer)
    assert ids["input_ids"][: len(prompt)] == prompt
    assert tokenizer.decode(learnt(ids)) == "ere is.<eos>"


def llama_like(normalizer=None, pre_tokenizer=None):
    """A tokenizer that puts a space before a text, by one of the two ways that Llama's have."""
    pieces = [*"▁heris.:Tlm", "▁t", "th", "▁th", "er", "▁i", "▁is"]
    vocabulary = {piece: at for at, piece in enumerate(["<unk>", "<s>", "</s>", "t", *pieces])}
    merges = [("▁", "t"), ("▁t", "h"), ("t", "h"), ("e", "r"), ("▁", "i"), ("▁i", "s")]
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    if normalizer:
        made.normalizer = normalizer
    if pre_tokenizer:
        made.pre_tokenizer = pre_tokenizer
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **special)


@pytest.mark.parametrize(
    "way",
    [
        {"normalizer": [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]},
        {"pre_tokenizer": pre_tokenizers.Metaspace(prepend_scheme="first", split=False)},
    ],
    ids=["prepend", "metaspace"],
)
@pytest.mark.parametrize("answer", ["there is.", "is.", "there\nis."])
def test_no_space_is_put_before_an_answer(make_spec, way, answer):
    """Where a prompt ends with a space, which would merge with the answer's first word."""
    if "normalizer" in way:
        way = {"normalizer": normalizers.Sequence(way["normalizer"])}
    tokenizer = llama_like(**way)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}: {% endfor %}"
    row = {**KINDS[0], "prompt": "Tell me", "completion": [answer]}
    (ids,) = rows_of(make_spec(), [row], tokenizer)
    known = answer.replace("\n", "")  # a character that this tokenizer has not
    text = tokenizer.decode(ids["input_ids"], skip_special_tokens=True)
    assert text.strip() == f"Tell me: {known}"
    assert tokenizer.decode(learnt(ids)[:-1], skip_special_tokens=True) == known


def test_a_preference_is_two_answers_to_one_prompt(make_spec, preferred, tokenizer):
    spec = make_spec(trainer="dpo")
    prompter = build_prompter(CHAT, tokenizer, None)
    rows = preferences(open_examples(spec, preferred, tokenizer))
    for row, given in zip(rows, preferred, strict=True):
        prompt = encoder(tokenizer, prompter)(prompter.render([given["prompt"]], []))
        assert row["prompt_ids"] == prompt
        assert tokenizer.decode(row["chosen_ids"]) == given["completion"][0] + "<eos>"
        assert tokenizer.decode(row["rejected_ids"]) == given["rejected"] + "<eos>"


def test_trainers_refuse_the_rows_of_others(make_spec, answers, preferred, tokenizer):
    with pytest.raises(AlignlabError, match="preference/pool/0 is a preference"):
        rows_of(make_spec(), [*answers, *preferred], tokenizer)
    examples = open_examples(make_spec(trainer="dpo"), answers, tokenizer)
    with pytest.raises(AlignlabError, match=r"trainset tiny-set has no preferences, .* dpo"):
        preferences(examples)


def test_a_preference_between_equal_answers_is_named(make_spec, preferred, tokenizer):
    rows = [*preferred[:2], {**preferred[2], "rejected": preferred[2]["completion"][0]}]
    with pytest.raises(AlignlabError, match="example preference/pool/2: both answers are the same"):
        preferences(open_examples(make_spec(trainer="dpo"), rows, tokenizer))


def test_a_template_without_bos_is_refused(make_spec, answers, tokenizer):
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(AlignlabError, match="exactly one '<bos>'"):
        rows_of(make_spec(), answers, tokenizer)


def test_a_long_example_is_named_and_never_cut(make_spec, answers, tokenizer):
    whole = rows_of(make_spec(), answers, tokenizer)
    longest = max(len(row["input_ids"]) for row in whole)
    assert rows_of(make_spec(max_length=longest), answers, tokenizer) == whole
    with pytest.raises(AlignlabError, match=rf"answer/pool/\d+: {longest} tokens .* {longest - 1}"):
        rows_of(make_spec(max_length=longest - 1), answers, tokenizer)


def test_an_empty_answer_is_named(make_spec, answers, tokenizer):
    broken = [*answers[:4], {**answers[4], "completion": [""]}]
    with pytest.raises(AlignlabError, match="answer/pool/4: no token of the answer carries loss"):
        rows_of(make_spec(), broken, tokenizer)


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


def padded_with(make_spec, tokenizer, **changes):
    choose_padding(open_examples(make_spec(**changes), [], tokenizer))
    return tokenizer.pad_token


def test_padding_is_never_the_end_of_an_answer_where_there_is_another_token(make_spec, tokenizer):
    assert padded_with(make_spec, tokenizer, method=FRAMED) == "<pad>"
    tokenizer.pad_token = tokenizer.eos_token
    assert padded_with(make_spec, tokenizer, method=FRAMED) == "<bos>"
    tokenizer.pad_token = tokenizer.bos_token = tokenizer.eos_token
    assert padded_with(make_spec, tokenizer, method=FRAMED) == "<eos>"
    with pytest.raises(AlignlabError, match="no special token but '<eos>' to pad with"):
        padded_with(make_spec, tokenizer, method=FRAMED, trainer="rlhf", rlhf={})
    tokenizer.eos_token = None
    with pytest.raises(AlignlabError, match="no token to end answers"):
        padded_with(make_spec, tokenizer, method=FRAMED)


EOS = "eos"


@pytest.mark.parametrize(
    ("ids", "first_labelled", "message"),
    [
        ([1, 5, 6, EOS], 2, None),
        ([1, 5, 6, 7], 2, "'<eos>' must stand once in the labels.* stands there 0 times"),
        ([1, 5, EOS, 6, EOS], 2, "stands there 2 times"),
        ([EOS, EOS, 5, EOS], 2, None),
        ([1, 5, EOS, 6], 2, "must stand once in the labels, at the end"),
        ([1, 5, 6, EOS], 3, "no token of the answer carries loss"),
        ([1, 5, 6, 7, 8, 9, EOS], 2, "7 tokens are more than max_length, 6"),
    ],
)
def test_each_fault_of_an_example_is_named(
    make_spec, answers, tokenizer, ids, first_labelled, message
):
    ids = [tokenizer.eos_token_id if token == EOS else token for token in ids]
    labels = [UNLABELLED] * first_labelled + ids[first_labelled:]
    example = {"input_ids": ids, "labels": labels}
    examples = open_examples(make_spec(max_length=6, method=FRAMED), answers, tokenizer)
    if message is None:
        check_example(examples, answers[0], example)
    else:
        with pytest.raises(AlignlabError, match=f"answer/pool/0: .*{message}"):
            check_example(examples, answers[0], example)


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def other_end(tokenizer):
    """As many fine-tunes are saved: the template ends turns by a token that is not EOS."""
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    tokenizer.chat_template = "{{ bos_token }}" + CHATML
    return tokenizer


@pytest.mark.parametrize("eos", ["<eos>", "<|im_end|>", None])
def test_what_is_learnt_to_end_an_answer_is_what_ends_it(make_spec, answers, other_end, eos):
    other_end.eos_token = eos
    examples = open_examples(make_spec(), answers, other_end)
    ends = end_ids(None, other_end).union(examples.prompter.stopping.tokens)
    assert other_end.convert_tokens_to_ids("<|im_end|>") in ends
    for row in labelled(examples):
        assert row["labels"][-1] == row["input_ids"][-1] == examples.end
        assert [token for token in learnt(row) if token in ends] == [examples.end]


@pytest.mark.parametrize("method", [CHAT, FRAMED], ids=["chat", "framed"])
def test_answers_and_questions_that_name_control_tokens_are_learnt_as_text(
    make_spec, other_end, method
):
    text = "Say <eos>, <bos> and <|im_end|> twice: <eos>."
    row = {**KINDS[0], "prompt": text, "completion": [text]}
    examples = open_examples(make_spec(method=method), [row], other_end)
    (ids,) = labelled(examples)
    assert other_end.decode(learnt(ids)[:-1]) == text
    assert learnt(ids).count(examples.end) == 1
    assert ids["input_ids"].count(other_end.bos_token_id) == 1


def test_markers_keep_their_masks_beside_control_tokens(make_spec, tokenizer):
    row = {**KINDS[5], "completion": ["Say <eos> once.", "Say <bos> twice."]}
    rows = rows_of(make_spec(), [row], tokenizer)
    check_masks(tokenizer, rows, [{**row, "prompt": ""}], "<eos>")


def one_special(before):
    """GPT-2 and Pythia have one token for BOS, EOS and padding; OPT begins with its EOS."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        ["a"], trainers.BpeTrainer(special_tokens=["</s>"], initial_alphabet=alphabet)
    )
    made.post_processor = processors.TemplateProcessing(
        single=[*before, "$A"], special_tokens=[("</s>", 0)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="</s>", eos_token="</s>")
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}\n"
        "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    return tokenizer


@pytest.mark.parametrize("trainer", ["sft", "dpo"])
@pytest.mark.parametrize(("kind", "before"), [("gpt2", []), ("opt", ["</s>"])])
def test_one_special_token_is_tuned_to_the_end(
    make_spec, preferred, tmp_path, trainer, kind, before
):
    """Padding is the token that ends answers, and is not learnt."""
    one_special(before).save_pretrained(tmp_path / "tokenizer")
    from_seed({**SHAPE, **SHAPES[kind], "model_type": kind}, 0, tmp_path / "tokenizer", tmp_path)
    rows = [{**row, "kind": "answer"} for row in preferred] if trainer == "sft" else preferred
    tables.write("trainset", tmp_path / "set.parquet", rows, {"digest": "fedcba987654"})
    where = {"trainset": tmp_path / "set.parquet", "output": tmp_path / "adapter"}
    spec = make_spec(trainer, epochs=6, learning_rate=0.02, batch_size=6)
    with chdir(tmp_path):
        finetune(TuneJob(spec=spec, **WHERE, model=tmp_path, **where))
    losses = tables.read("training", tmp_path / "adapter/training.parquet")["loss"].to_pylist()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("before", [[], ["</s>"]], ids=["gpt2", "opt"])
@pytest.mark.parametrize("method", [CHAT, FRAMED], ids=["chat", "framed"])
def test_one_special_token_for_everything_can_be_tuned(make_spec, answers, before, method):
    tokenizer = one_special(before)
    examples = open_examples(make_spec(method=method), answers[:3], tokenizer)
    choose_padding(examples)
    for row, given in zip(labelled(examples), answers, strict=False):
        assert tokenizer.decode(learnt(row)[:-1]) == given["completion"][0]
        assert learnt(row)[-1] == row["input_ids"][-1] == 0
        assert row["input_ids"][:1] == [0] or method == FRAMED
        assert (row["input_ids"][0] == 0) == bool(before or method == CHAT)


def test_an_appended_eos_is_in_no_prompt(make_spec, answers, tokenizer):
    """Whatever the tokenizer puts after a text, a prompt is open, and an answer ends once."""
    plain = rows_of(make_spec(method=FRAMED), answers, tokenizer)
    ids = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("<bos>", "<eos>")]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=ids
    )
    assert tokenizer("x").input_ids[-1] == tokenizer.eos_token_id
    assert rows_of(make_spec(method=FRAMED), answers, tokenizer) == plain
