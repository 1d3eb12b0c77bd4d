"""A language model as the scorer uses it, and two models' logits compared at the same positions.

Answers are teacher-forced: one pass over prompt and answer gives the hidden state before every
token of the answer; the head turns states into logits. A prefix that all prompts share is run once.
Logits are float32 here; an engine in bfloat16 chooses from rounded ones, so its greedy token may,
at a near-tie, rank second here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import log
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from alignlab.core.errors import AlignlabError
from alignlab.engines.equality import context_window
from alignlab.engines.prefix_attention import Context
from alignlab.engines.transformers_engine import load

TOP = 10
BLOCK = 64
# Logits of columns that are no token. Finite, because ∞ − ∞ is not a number.
NOTHING = -1e30
# Elements of one model's logits worked on together; a GPU would rather have them all.
CACHED = 2**18
# Weights made float32 at a time (64 MB); those that are float32 are used in place.
MAX_WEIGHTS = 2**24
# Logits of one model alive at a time: 64 MB.
MAX_LOGITS = 2**24
# How far the model's own logits may lie from ours: its head may round to 16 bits, ours does not.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.01}


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


@dataclass(frozen=True)
class Forced:
    """An answer's ids after the context that one model sees before them."""

    context: list[int]
    answer: list[int]

    @property
    def fed(self) -> list[int]:
        """What the model runs; nothing is predicted from the last token."""
        return self.context + self.answer[:-1]


@dataclass(frozen=True)
class Weights:
    """Where a model lies: a materialised folder, and the adapter of a tuned one.

    `embedder` is the folder of the embedding model, where its method retrieves examples.
    """

    folder: Path
    adapter: Path | None = None
    embedder: Path | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return (self.adapter or self.folder).name

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """A tuned model's tokenizer comes with its adapter."""
        return AutoTokenizer.from_pretrained(self.adapter or self.folder, trust_remote_code=False)

    @cached_property
    def context_window(self) -> int:
        """Tokens the model can see."""
        return context_window(self._config, self.name)

    @cached_property
    def width(self) -> int:
        """Ids the model gives a logit: the vocabulary, with the padding some models add."""
        return int(self._config.get_text_config(decoder=True).vocab_size)

    @cached_property
    def _config(self) -> Any:
        return AutoConfig.from_pretrained(self.folder, trust_remote_code=False)


class ScoringModel:
    """A loaded model; `states` runs it, `head` turns states into logits."""

    def __init__(self, weights: Weights, dtype: str) -> None:
        """Load the weights.

        Raises:
            AlignlabError: they cannot be loaded, or the model changes its logits in an unknown way.
        """
        self.engine = load(weights.folder, dtype, 1, weights.adapter)
        self.head = OutputHead(self.engine.model)
        self._check_head(weights.name)

    @torch.inference_mode()
    def states(
        self, batches: Sequence[Sequence[Forced]], prefix_ids: list[int]
    ) -> Iterator[Tensor]:
        """Hidden states before every answer token.

        Args:
            batches: answers after their contexts.
            prefix_ids: what all contexts begin with; run once.

        Yields:
            For each batch [answer tokens of all its rows, hidden], row after row, in the model's
            dtype.
        """
        prefix = self.engine.prefill_prefix(prefix_ids)
        for batch in batches:
            own = [row.fed[prefix.length :] for row in batch]
            positions = self.engine.positions(own, prefix.length)
            hidden = self._run(own, Context(prefix, positions, positions))
            yield torch.cat(
                [states[-len(row.answer) :] for states, row in zip(hidden, batch, strict=True)]
            )

    def _run(self, rows: list[list[int]], context: Context) -> Tensor:
        """Last hidden states of left-padded rows, after the final norm, [rows, width, hidden]."""
        if self.engine.plain:
            return self._run_plainly(rows)
        output = self.engine.model.base_model(
            input_ids=self.engine.padded(rows),
            position_ids=context.query_positions.clamp(min=0),
            use_cache=False,
            context=context,
        )
        return output.last_hidden_state

    def _run_plainly(self, rows: list[list[int]]) -> Tensor:
        """The same by transformers' own code, each row alone."""
        states = []
        for row in rows:
            ids = torch.tensor([row], device=self.engine.device)
            output = self.engine.model.base_model(input_ids=ids, use_cache=False)
            states.append(output.last_hidden_state[0])
        width = max(map(len, rows))
        return torch.stack([pad(each, (0, 0, width - len(each), 0)) for each in states])

    @torch.inference_mode()
    def _check_head(self, name: str) -> None:
        rows = [list(range(min(8, self.head.width)))]
        positions = self.engine.positions(rows, 0)
        context = Context(self.engine.prefill_prefix([]), positions, positions)
        fast = {} if self.engine.plain else {"position_ids": positions, "context": context}
        expected = self.engine.model(input_ids=self.engine.padded(rows), use_cache=False, **fast)
        self.head.check(self._run(rows, context)[0], expected.logits[0], name)


class OutputHead:
    """Weight, bias, scale and soft-capping of a causal language model's output layer.

    It keeps the weight alive and nothing else of the model.
    """

    def __init__(self, model: Any) -> None:
        layer = model.get_output_embeddings()
        if not isinstance(getattr(layer, "weight", None), Tensor):
            raise AlignlabError(
                f"{model.config.model_type} has no output layer: token shift cannot score it"
            )
        self.weight: Tensor = layer.weight
        self.bias: Tensor | None = getattr(layer, "bias", None)
        config = model.config.get_text_config(decoder=True)
        self.scale = getattr(config, "logit_scale", None) or 1.0
        self.scale /= getattr(config, "logits_scaling", None) or 1.0
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)

    @property
    def width(self) -> int:
        """Ids it scores: the vocabulary, with the padding some models add."""
        return self.weight.shape[0]

    def logits(self, hidden: Tensor, out: Tensor) -> None:
        """Logits of hidden states [rows, hidden] into float32 `out` [rows, at most width]."""
        states = hidden.to(self.weight.device).float()
        step = max(1, MAX_WEIGHTS // self.weight.shape[1])
        for start in range(0, out.shape[1], step):
            block = slice(start, min(start + step, out.shape[1]))
            torch.mm(states, self.weight[block].float().T, out=out[:, block])
        if self.bias is not None:
            out += self.bias[: out.shape[1]].float()
        if self.scale != 1:
            out *= self.scale
        if self.softcap is not None:
            out.div_(self.softcap).tanh_().mul_(self.softcap)

    def check(self, hidden: Tensor, expected: Tensor, name: str) -> None:
        """Compare with the model's own logits [rows, width] for hidden states [rows, hidden].

        Raises:
            AlignlabError: the model does to its logits what this class does not know of.
        """
        ours = torch.empty(expected.shape, device=expected.device)
        self.logits(hidden, ours)
        scale = expected.float().abs().max().clamp(min=1)
        error = ((ours - expected.float()).abs().max() / scale).item()
        if not error <= TOLERANCE[expected.dtype]:
            raise AlignlabError(
                f"{name}: its logits differ from hidden states × head by {error:.2g}; "
                "token shift cannot score this architecture"
            )


class HeadPair:
    """The heads of two models that share a vocabulary."""

    def __init__(self, base: OutputHead, aligned: OutputHead, lacking: Iterable[int] = ()) -> None:
        """Compare over the ids that both have, without those that the base model is `lacking`."""
        self.base, self.aligned = base, aligned
        # What one head has more is padding or lacking: both tokenizers agree on all others.
        self.width = min(base.width, aligned.width)
        within = sorted(id_ for id_ in lacking if id_ < self.width)
        self.lacking = torch.tensor(within, dtype=torch.long, device=base.weight.device)
        columns = padded_width(self.width)
        shape = (2, max(1, MAX_LOGITS // columns), columns)
        self.logits = torch.full(shape, NOTHING, device=base.weight.device)

    def compare(self, base: Tensor, aligned: Tensor, tokens: Tensor) -> Shift:
        """Compare the models at the same positions, some rows of logits at a time.

        Args:
            base: the base model's hidden states [rows, hidden].
            aligned: the aligned model's; its hidden size may be another.
            tokens: the ids that stand there, [rows].
        """
        parts = []
        for start in range(0, len(tokens), self.logits.shape[1]):
            rows = slice(start, start + self.logits.shape[1])
            ours, theirs = self.logits[:, : len(tokens[rows])]
            self.base.logits(base[rows], ours[:, : self.width])
            self.aligned.logits(aligned[rows], theirs[:, : self.width])
            if len(self.lacking):
                ours[:, self.lacking] = theirs[:, self.lacking] = NOTHING
            parts.append(compare(ours, theirs, tokens[rows]))
        return joined(parts)
