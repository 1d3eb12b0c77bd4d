import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from alignlab.engines.scoring import ScoredQuestion, common_beginning, load

PREFIX = [1, *range(20, 60)]
ids = st.integers(5, 1000)
some = st.lists(ids, min_size=1, max_size=12)
ends = st.lists(st.tuples(some, st.lists(ids, min_size=1, max_size=4)), min_size=1, max_size=3)


@pytest.fixture(scope="session", params=["llama", "gemma3"])
def models(request, model_folder):
    """Ours, and transformers' own with eager attention."""
    folder = model_folder(request.param)
    plain = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32
    )
    return load(folder, "float32", 3), plain.eval()


def scored(engine, groups):
    found = [pair for batch in engine.score(groups) for pair in batch]
    assert sorted(index for index, _ in found) == list(range(len(groups)))
    return [logprobs for _, logprobs in sorted(found, key=lambda pair: pair[0])]


@torch.inference_mode()
def expected(plain, question):
    logits = plain(torch.tensor([question.prompt_ids])).logits[0, -1]
    return logits.log_softmax(-1)[question.choices]


def of_stem(stem, members):
    return [ScoredQuestion([*stem, *end], choices) for end, choices in members]


@settings(max_examples=20)
@given(
    prefix=st.lists(ids, max_size=30),
    groups=st.lists(st.tuples(some, ends), min_size=1, max_size=5),
    batch_size=st.integers(1, 4),
)
def test_log_probabilities_are_those_of_plain_forward_passes(models, prefix, groups, batch_size):
    """Whatever questions share, and however long and many they are."""
    engine, plain = models
    engine.batch_size = batch_size
    asked = [of_stem([*prefix, *stem], members) for stem, members in groups]
    for group, found in zip(asked, scored(engine, asked), strict=True):
        for question, logprobs in zip(group, found, strict=True):
            assert logprobs.dtype == torch.float32
            torch.testing.assert_close(logprobs, expected(plain, question), atol=1e-4, rtol=1e-4)


def test_what_is_shared_is_run_once(models):
    engine, _ = models
    engine.batch_size = 2
    stems = [[200 + i, *range(300, 310)] for i in range(4)]
    members = [([40 + i, 50, 51], [7, 8]) for i in range(5)]
    groups = [of_stem(PREFIX + stem, members) for stem in stems]
    before = engine.prefilled
    scored(engine, groups)
    assert engine.prefilled - before == len(PREFIX) + 4 * 11 + 4 * 5 * 3
    scored(engine, groups)
    assert engine.prefilled - before == len(PREFIX) + 2 * (4 * 11 + 4 * 5 * 3)


@given(st.lists(st.lists(some, min_size=1, max_size=3), min_size=1, max_size=4))
def test_the_common_beginning_leaves_every_group_something_to_run(groups):
    asked = [[ScoredQuestion([1, *row], [5]) for row in group] for group in groups]
    common = common_beginning(asked)
    for group in asked:
        for question in group:
            assert question.prompt_ids[: len(common)] == common
            assert len(question.prompt_ids) >= len(common) + 1


def test_questions_that_begin_differently_are_no_group(models):
    engine, _ = models
    with pytest.raises(ValueError, match="begin alike"):
        next(engine.score([[ScoredQuestion([5, 6], [1]), ScoredQuestion([7, 6], [1])]]))


def test_bfloat16_runs(model_folder):
    engine = load(model_folder("llama"), "bfloat16", 2)
    (found,) = scored(engine, [of_stem(PREFIX, [([7, 8], [9, 10])])])
    assert found[0].dtype == torch.float32
    assert found[0].max() < 0
