import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from alignlab.core.errors import AlignlabError
from alignlab.engines.base import Request
from alignlab.engines.config import DecodingConfig
from alignlab.engines.transformers_engine import SkinnyLinear, load, turn_linears_round
from alignlab.prompting.encode import Stopping

PREFIX = [1, *range(20, 60)]
ROWS = [[100, 101, 102], [200] * 17, [300, 301], [7, 400, 401, 402, 403, 404, 405, 406, 407, 408]]
FREE = Stopping()
PROMPTS = [PREFIX + row for row in ROWS]


def answers(engine, prompts, decoding, stopping=FREE, prefix=(), seeds=None):
    seeds = seeds or [None] * len(prompts)
    requests = [Request(ids, seed) for ids, seed in zip(prompts, seeds, strict=True)]
    found = {}
    for batch in engine.generate(requests, prefix, decoding, stopping):
        found.update(batch)
    return [found[i] for i in range(len(prompts))]


@pytest.fixture(scope="session", params=["llama", "gemma3"])
def folder(request, model_folder):
    return model_folder(request.param)


def plain_generate(folder, prompts, new, **options):
    """transformers' own `generate`, one row at a time."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    found = []
    for ids in prompts:
        options |= {"max_new_tokens": new, "do_sample": False, "pad_token_id": 0}
        output = model.generate(torch.tensor([ids]), **options)
        found.append(output[0, len(ids) :].tolist())
    return found


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("prefix", [(), PREFIX], ids=["no-prefix", "prefix"])
def test_greedy_ids_are_those_of_plain_generate(folder, batch_size, prefix):
    engine = load(folder, "float32", batch_size)
    found = answers(engine, PROMPTS, DecodingConfig(max_new_tokens=24), prefix=prefix)
    assert [c.token_ids for c in found] == plain_generate(folder, PROMPTS, 24)


def test_a_penalty_over_the_prompt_is_transformers_own(folder):
    engine = load(folder, "float32", 4)
    decoding = DecodingConfig(max_new_tokens=16, repetition_penalty=1.3, penalize_prompt=True)
    found = answers(engine, PROMPTS, decoding, prefix=PREFIX)
    assert [c.token_ids for c in found] == plain_generate(
        folder, PROMPTS, 16, repetition_penalty=1.3
    )


def test_a_penalty_that_spares_the_prompt_repeats_no_generated_token(folder):
    engine = load(folder, "float32", 4)
    decoding = DecodingConfig(max_new_tokens=16, repetition_penalty=5)
    for completion in answers(engine, PROMPTS, decoding):
        assert len(set(completion.token_ids)) == len(completion.token_ids)


def test_the_prefix_is_prefilled_once_and_each_row_only_its_own_tokens(folder):
    engine = load(folder, "float32", 2)
    answers(engine, PROMPTS, DecodingConfig(max_new_tokens=2), prefix=PREFIX)
    unavoidable = len(PREFIX) + sum(map(len, ROWS))
    assert unavoidable <= engine.prefilled <= 1.1 * unavoidable
    first = engine.prefilled
    answers(engine, PROMPTS, DecodingConfig(max_new_tokens=2), prefix=PREFIX)
    assert engine.prefilled - first == first - len(PREFIX)


def test_rows_without_the_prefix_are_answered_too(folder):
    engine = load(folder, "float32", 4)
    prompts = [PROMPTS[0], [1, 500, 501], PROMPTS[1], PREFIX]
    with_prefix = answers(engine, prompts, DecodingConfig(max_new_tokens=8), prefix=PREFIX)
    assert with_prefix == answers(engine, prompts, DecodingConfig(max_new_tokens=8))


def test_a_sampled_answer_depends_on_its_seed_and_never_on_its_batch(folder):
    decoding = DecodingConfig(max_new_tokens=12, temperature=0.9, top_p=0.9)
    seeds = [11, 12, 13, 14]
    together = answers(load(folder, "float32", 4), PROMPTS, decoding, seeds=seeds)
    backwards = answers(load(folder, "float32", 1), PROMPTS[::-1], decoding, seeds=seeds[::-1])
    assert together == backwards[::-1]
    others = answers(load(folder, "float32", 4), PROMPTS, decoding, seeds=[1, 2, 3, 4])
    assert together != others


def test_rows_end_by_themselves(folder):
    """A token that one row makes third becomes the end token; every row ends at its first one."""
    engine = load(folder, "float32", 4)
    engine.end_ids = set()
    free = answers(engine, PROMPTS, DecodingConfig(max_new_tokens=20))
    end = free[0].token_ids[2]
    engine.end_ids = {end}
    for before, after in zip(
        free, answers(engine, PROMPTS, DecodingConfig(max_new_tokens=20)), strict=True
    ):
        if end in before.token_ids:
            assert after.token_ids == before.token_ids[: before.token_ids.index(end) + 1]
            assert after.finish_reason == "eos"
        else:
            assert after == before


def test_a_stop_string_ends_its_row(folder):
    engine = load(folder, "float32", 4)
    free = answers(engine, PROMPTS, DecodingConfig(max_new_tokens=20))
    text = engine.tokenizer.decode(free[1].token_ids)
    stop = text[: len(text) // 2]
    found = answers(engine, PROMPTS, DecodingConfig(max_new_tokens=20), Stopping((stop[:6],)))
    assert found[1].finish_reason == "stop"
    assert len(found[1].token_ids) < 20


def test_the_context_window_bounds_an_answer(folder):
    engine = load(folder, "float32", 2)
    prompts = [[1] + [50] * (engine.context_window - 4), PROMPTS[0]]
    found = answers(engine, prompts, DecodingConfig(max_new_tokens=9))
    assert [len(c.token_ids) for c in found] == [3, 9]
    assert found[0].finish_reason == "length"


def test_bfloat16_runs(folder):
    engine = load(folder, "bfloat16", 4)
    assert engine.model.dtype == torch.bfloat16
    found = answers(engine, PROMPTS, DecodingConfig(max_new_tokens=4), prefix=PREFIX)
    assert all(len(c.token_ids) == 4 for c in found)


def test_a_folder_without_a_model_is_named(tmp_path, repository_root):
    AutoTokenizer.from_pretrained(
        repository_root / "config/catalog/tiny-tokenizer"
    ).save_pretrained(tmp_path)
    with pytest.raises(AlignlabError, match=r"config\.json cannot be opened"):
        load(tmp_path, "float32", 1)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (1, 3), (32, 1, 3), (4, 16, 3), (5, 40, 3)])
def test_values_are_those_of_a_plain_linear_layer(bias, shape):
    layer = nn.Linear(3, 7, bias=bias)
    inputs = torch.randn(*shape)
    expected = layer(inputs)
    turn_linears_round(layer)
    assert type(layer) is SkinnyLinear
    torch.testing.assert_close(layer(inputs), expected)
    assert layer(inputs).is_contiguous()


def test_other_precisions_and_subclasses_are_left_alone():
    half = nn.Linear(3, 7).to(torch.bfloat16)
    special = nn.modules.linear.NonDynamicallyQuantizableLinear(3, 7)
    for layer in (half, special):
        before = type(layer)
        turn_linears_round(layer)
        assert type(layer) is before


def test_the_token_that_a_template_ends_answers_with_ends_them(folder):
    engine = load(folder, "float32", 4)
    free = answers(engine, PROMPTS, DecodingConfig(max_new_tokens=24))
    end = free[0].token_ids[5]
    found = answers(engine, PROMPTS, DecodingConfig(max_new_tokens=24), Stopping(tokens=(end,)))
    for whole, cut in zip(free, found, strict=True):
        stop = whole.token_ids.index(end) + 1 if end in whole.token_ids else len(whole.token_ids)
        assert cut.token_ids == whole.token_ids[:stop]
        assert cut.finish_reason == ("eos" if end in whole.token_ids else whole.finish_reason)
