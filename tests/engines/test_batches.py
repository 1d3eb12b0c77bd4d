"""Rows that are run side by side are those that are run alone, whatever becomes of their batch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from alignlab.engines.batches import PrefixModel, groups_of_like_length
from alignlab.engines.prefix_attention import NAME

PREFIX = [1, *range(20, 40)]
ROWS = [[200 + i for i in range(17)], [300 + i for i in range(16)], [7, 400, 401]]


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def models(request, model_folder):
    """A model with our attention, and the logits after a row by transformers alone."""
    ours, plain = (
        AutoModelForCausalLM.from_pretrained(
            model_folder(request.param), attn_implementation=attention, dtype=torch.float32
        ).eval()
        for attention in (NAME, "eager")
    )
    return PrefixModel(ours, ours.device), lambda ids: plain(torch.tensor([ids])).logits[0, -1]


def close(found, expected):
    torch.testing.assert_close(found, torch.stack(expected), atol=2e-5, rtol=2e-5)


@torch.inference_mode()
def test_tokens_that_are_kept_or_not_and_rows_that_leave_change_no_other_row(models):
    runs, alone = models
    batch = runs.start(ROWS, runs.prefill_prefix(PREFIX))
    texts = [PREFIX + row for row in ROWS]
    close(batch.logits, [alone(text) for text in texts])
    tried = [[11, 12, 13], [14], [15, 16]]
    close(batch.peek(tried), [alone(text + ids) for text, ids in zip(texts, tried, strict=True)])
    said = [[21], [22, 23], [24]]
    batch.extend(said)
    texts = [text + ids for text, ids in zip(texts, said, strict=True)]
    close(batch.logits, [alone(text) for text in texts])
    batch.keep([0, 2])
    batch.extend([[31], [32]])
    close(batch.logits, [alone(texts[0] + [31]), alone(texts[2] + [32])])


@given(st.lists(st.integers(1, 500), min_size=1))
def test_groups_cover_every_row_with_little_padding(lengths):
    lengths.sort(reverse=True)
    groups = list(groups_of_like_length(lengths))
    assert [n for group in groups for n in lengths[group]] == lengths
    for group in groups:
        assert len(lengths[group]) * lengths[group][0] <= 1.1 * sum(lengths[group])
