"""What two models say about the same tokens: ranks, log-probabilities, divergences, top ten.

    python benchmarks/token_shift.py

Everything over the full vocabulary, in float32, a few rows of logits at a time, so that they stay
in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import log

import torch
from torch import Tensor
from torch.nn.functional import softplus

TOP = 10
BLOCK = 64
# Logits of columns that are no token. Finite, because ∞ − ∞ is not a number.
NOTHING = -1e30
# Elements of one model's logits worked on together; a GPU would rather have them all.
CACHED = 2**18


@dataclass(frozen=True)
class Shift:
    """Statistics of tokens, each [rows]; the top ten [rows, TOP], likeliest first.

    Nats everywhere. `base_rank` is 1 + the number of ids with a strictly greater base logit, and
    `tied` says that another id has the same.
    """

    base_rank: Tensor
    tied: Tensor
    base_logprob: Tensor
    aligned_logprob: Tensor
    base_entropy: Tensor
    aligned_entropy: Tensor
    kl_aligned_base: Tensor
    kl_base_aligned: Tensor
    js: Tensor
    base_topk_ids: Tensor
    base_topk_logprobs: Tensor
    aligned_topk_ids: Tensor
    aligned_topk_logprobs: Tensor


COLUMNS = tuple(field.name for field in fields(Shift))


def padded_width(vocabulary: int) -> int:
    """Columns that logits of so many ids need here: whole blocks, and at least the top ten."""
    return BLOCK * -(-max(vocabulary, TOP) // BLOCK)


def compare(base: Tensor, aligned: Tensor, tokens: Tensor) -> Shift:
    """Compare two models' logits at the same positions.

    Args:
        base: float32 [rows, `padded_width`], columns past the vocabulary filled with `NOTHING`.
        aligned: the same for the aligned model.
        tokens: the ids that stand there, [rows].
    """
    step = len(tokens) if base.is_cuda else max(1, CACHED // base.shape[1])
    slices = [slice(start, start + step) for start in range(0, len(tokens), step)]
    # Written over again and again: fresh memory costs more than the arithmetic in it.
    buffers = base.new_empty(6, min(step, len(tokens)), base.shape[1])
    return joined(
        [_compare(base[rows], aligned[rows], tokens[rows, None], buffers) for rows in slices]
    )


def joined(parts: Sequence[Shift]) -> Shift:
    """Rows of several, in the processor's memory."""
    return Shift(**{name: torch.cat([vars(p)[name] for p in parts]).cpu() for name in COLUMNS})


def _compare(base: Tensor, aligned: Tensor, tokens: Tensor, buffers: Tensor) -> Shift:
    log_q, log_p, q, p, ratio, scratch = buffers[:, : len(tokens)]
    base_peaks, aligned_peaks = _peaks(base), _peaks(aligned)
    rank, tied = _rank(base, base_peaks, base.gather(1, tokens))
    base_top, aligned_top = _top(base, base_peaks), _top(aligned, aligned_peaks)
    _softmax(base, base_peaks, log_q, q)
    _softmax(aligned, aligned_peaks, log_p, p)
    torch.sub(log_p, log_q, out=ratio)
    return Shift(
        base_rank=rank,
        tied=tied,
        base_logprob=log_q.gather(1, tokens)[:, 0],
        aligned_logprob=log_p.gather(1, tokens)[:, 0],
        base_entropy=-_dot(q, log_q, scratch),
        aligned_entropy=-_dot(p, log_p, scratch),
        base_topk_ids=base_top,
        base_topk_logprobs=log_q.gather(1, base_top),
        aligned_topk_ids=aligned_top,
        aligned_topk_logprobs=log_p.gather(1, aligned_top),
        **_divergences(p, q, ratio, scratch),
    )


def _softmax(logits: Tensor, peaks: Tensor, log_probs: Tensor, probs: Tensor) -> None:
    """Fill log-probabilities and probabilities of logits [rows, width]."""
    torch.sub(logits, peaks.amax(dim=1, keepdim=True), out=log_probs)
    torch.exp(log_probs, out=probs)
    log_probs.sub_(probs.sum(dim=1, keepdim=True).log())
    torch.exp(log_probs, out=probs)


def _divergences(p: Tensor, q: Tensor, ratio: Tensor, scratch: Tensor) -> dict[str, Tensor]:
    """KL both ways and Jensen-Shannon from probabilities and log(p/q), [rows, width] each.

    Rounding shifts all of log(p/q) by one small number, and with it a plain Σ p log(p/q), however
    small the divergence. Adding Σ q − Σ p, which is zero but for the same rounding, cancels that
    to first order. `ratio` is overwritten.
    """
    excess = q.sum(dim=1) - p.sum(dim=1)
    forward, backward = _dot(p, ratio, scratch), _dot(q, ratio, scratch)
    # log(2p / (p+q)) = log 2 − softplus(−ratio), and log(2q / (p+q)) is that less the ratio.
    half = softplus(ratio.neg_()).neg_().add_(log(2))
    mixed = _dot(torch.add(p, q, out=ratio), half, scratch)
    return {
        "kl_aligned_base": (forward + excess).clamp(min=0),
        "kl_base_aligned": (-backward - excess).clamp(min=0),
        "js": ((mixed - backward) / 2).clamp(min=0),
    }


def _dot(left: Tensor, right: Tensor, scratch: Tensor) -> Tensor:
    """Row by row, [rows]. A product and a pairwise sum: BLAS adds up in one float32."""
    return torch.mul(left, right, out=scratch).sum(dim=1)


def _peaks(logits: Tensor) -> Tensor:
    """The greatest logit of every block of columns, [rows, blocks]."""
    return logits.view(len(logits), -1, BLOCK).amax(dim=2)


def _rank(logits: Tensor, peaks: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Rank of each row's chosen logit [rows, 1], and whether another equals it.

    Only blocks whose peak reaches it can hold a greater one or an equal.
    """
    row, block = (peaks >= chosen).nonzero(as_tuple=True)
    reached = logits.view(len(logits), -1, BLOCK)[row, block]
    counts = torch.stack([(reached > chosen[row]).sum(1), (reached == chosen[row]).sum(1)], dim=1)
    above, equal = counts.new_zeros(len(logits), 2).index_add_(0, row, counts).unbind(1)
    return above + 1, equal > 1


def _top(logits: Tensor, peaks: Tensor) -> Tensor:
    """Ids of the TOP greatest logits, [rows, TOP]; they lie in the blocks of the TOP peaks."""
    blocks = peaks.topk(min(TOP, peaks.shape[1])).indices
    ids = (blocks[:, :, None] * BLOCK + torch.arange(BLOCK, device=logits.device)).flatten(1)
    best = logits.gather(1, ids).topk(TOP).indices
    return ids.gather(1, best)
