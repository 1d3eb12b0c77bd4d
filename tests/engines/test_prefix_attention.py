import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, DynamicCache

from alignlab.engines import prefix_attention
from alignlab.engines.prefix_attention import NAME, Context, Prefix

KINDS = ["llama", "mistral", "qwen2", "gemma2", "gemma3"]


@pytest.fixture(scope="session")
def models(model_folder):
    """Each architecture twice: with transformers' own eager attention, and with ours."""
    return {
        kind: [
            AutoModelForCausalLM.from_pretrained(
                model_folder(kind), attn_implementation=attention, dtype=torch.float32
            ).eval()
            for attention in ("eager", NAME)
        ]
        for kind in KINDS
    }


@torch.inference_mode()
def last_logits(model, prefix_ids, rows):
    """Logits after each row, with the prefix computed once and rows padded on the left."""
    prefix = Prefix(0)
    if prefix_ids:
        positions = torch.arange(len(prefix_ids))[None]
        cache = DynamicCache()
        context = Context(prefix, positions, positions)
        model(
            torch.tensor([prefix_ids]),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            context=context,
        )
        layers = cache.layers
        prefix = Prefix(
            len(prefix_ids),
            tuple(layer.keys[0] for layer in layers),
            tuple(layer.values[0] for layer in layers),
        )
    width, start = max(map(len, rows)), len(prefix_ids)
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    positions = torch.tensor(
        [[-1] * (width - len(row)) + list(range(start, start + len(row))) for row in rows]
    )
    return model(
        ids,
        position_ids=positions.clamp(min=0),
        past_key_values=DynamicCache(),
        use_cache=True,
        context=Context(prefix, positions, positions),
    ).logits[:, -1]


tokens = st.lists(st.integers(5, 1000), min_size=1, max_size=20)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scores", [2**24, 200])
@given(
    prefix=st.lists(st.integers(5, 1000), max_size=30),
    rows=st.lists(tokens, min_size=1, max_size=3),
)
def test_logits_are_those_of_plain_attention_row_by_row(models, kind, scores, prefix, rows):
    """Padding, prefix, batch and query chunks are invisible, in sliding-window layers too."""
    plain, ours = models[kind]
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(prefix_attention, "MAX_SCORES", scores)
        found = last_logits(ours, prefix, rows)
        expected = torch.stack([plain(torch.tensor([prefix + row])).logits[0, -1] for row in rows])
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)


def test_products_of_queries_and_keys_do_not_overflow_float16():
    query = torch.full((1, 2, 1, 64), 40.0, dtype=torch.float16)
    positions = torch.tensor([[0]])
    module = torch.nn.Module()
    module.layer_idx = 0
    context = Context(Prefix(0), positions, positions)
    out, _ = prefix_attention.prefix_attention(
        module, query, query, torch.ones_like(query), None, scaling=0.125, context=context
    )
    assert torch.equal(out, torch.ones_like(out))
