"""What is said of two rows of logits, against plain float64 formulas."""

from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import divergences

from alignlab.shift.model import NOTHING, TOP, compare, padded_width


def padded(logits):
    width = padded_width(logits.shape[1])
    out = torch.full((len(logits), width), NOTHING)
    out[:, : logits.shape[1]] = logits
    return out


def logits(rows, vocabulary, seed, scale):
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * scale


@st.composite
def cases(draw):
    """Base and aligned logits from nearly equal to wildly different, and a token of each row."""
    rows, vocabulary = draw(st.integers(1, 5)), draw(st.sampled_from([11, 64, 65, 1000]))
    seed, scale = draw(st.integers(0, 2**31)), draw(st.sampled_from([0.1, 3.0, 12.0]))
    base = logits(rows, vocabulary, seed, scale)
    shift = draw(st.sampled_from([1e-3, 0.1, 1.0]))
    aligned = base + shift * logits(rows, vocabulary, seed + 1, scale) + draw(st.floats(-5, 5))
    return base, aligned, torch.arange(rows) * 7 % vocabulary


@given(cases())
def test_all_numbers_agree_with_float64(case):
    base, aligned, tokens = case
    ours = compare(padded(base), padded(aligned), tokens)
    right = divergences(base.double(), aligned.double(), tokens)
    assert (ours.base_rank == right["base_rank"]).all()
    for name in ("base_logprob", "aligned_logprob", "base_entropy", "aligned_entropy", "js"):
        assert torch.allclose(getattr(ours, name).double(), right[name], atol=1e-5, rtol=0), name
    for name in ("kl_aligned_base", "kl_base_aligned"):
        found = getattr(ours, name).double()
        assert (found >= 0).all()
        assert torch.allclose(found, right[name], atol=3e-7, rtol=1e-5), name
    assert ((ours.js >= 0) & (ours.js <= log(2) + 1e-6)).all()


@given(cases())
def test_the_top_ten_are_the_ten_greatest(case):
    base, aligned, tokens = case
    ours = compare(padded(base), padded(aligned), tokens)
    best = base.log_softmax(1).topk(TOP)
    assert torch.allclose(ours.base_topk_logprobs, best.values, atol=1e-5)
    # Logits, not ids: equal ones may stand in any order.
    assert torch.equal(base.gather(1, ours.base_topk_ids), base.topk(TOP).values)
    assert torch.equal(aligned.gather(1, ours.aligned_topk_ids), aligned.topk(TOP).values)


@given(cases())
def test_rank_one_is_the_top_token(case):
    base, aligned, tokens = case
    ours = compare(padded(base), padded(aligned), tokens)
    top = ours.base_topk_ids[:, 0] == tokens
    assert ((ours.base_rank == 1) == (top | (ours.tied & (ours.base_rank == 1)))).all()


def test_ties_count_for_the_token_and_are_told():
    base = torch.tensor([[1.0, 3.0, 3.0, 2.0] + [0.0] * 9] * 4)
    ours = compare(padded(base), padded(base), torch.tensor([1, 2, 3, 5]))
    assert ours.base_rank.tolist() == [1, 1, 3, 5]
    assert ours.tied.tolist() == [True, True, False, True]


def test_a_distribution_does_not_differ_from_itself():
    same = padded(logits(40, 5000, 0, 8.0))
    ours = compare(same, same.clone(), torch.zeros(40, dtype=torch.long))
    for name in ("kl_aligned_base", "kl_base_aligned", "js"):
        assert getattr(ours, name).abs().max() < 1e-6


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_logit_that_is_no_number_makes_its_row_none(bad):
    base, aligned = logits(3, 100, 0, 1.0), logits(3, 100, 1, 1.0)
    aligned[1, 50] = bad
    ours = compare(padded(base), padded(aligned), torch.tensor([1, 2, 3]))
    assert (ours.kl_aligned_base + ours.kl_base_aligned).isfinite().tolist() == [True, False, True]
