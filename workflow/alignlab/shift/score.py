"""Token-distribution shift of one pair: responses in, a token_shift table out.

The ids that the aligned model generated are forced through both models once (URIAL §2.1, without
its code's re-tokenising, forward pass per position and top-30 cut).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.unfinished import progress
from alignlab.shift.answers import Answers, Batch, ScoredAnswer, ShiftJob, ShiftSpec, windows
from alignlab.shift.categories import categorise
from alignlab.shift.model import TOP, HeadPair, OutputHead, ScoringModel, Shift

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CLASSES = np.array(["unshifted", "marginal", "shifted"])
# Highest rank that is still unshifted, and still marginal (URIAL §2.1).
LIMITS = (1, 3)


def score_shift(job: ShiftJob) -> None:
    """Score every answer of a responses table under two models.

    Raises:
        AlignlabError: no common vocabulary, no answer that can be scored, or a logit that is not
            a finite number; the message names the row.
    """
    answers = Answers(job)
    with tempfile.TemporaryDirectory(dir=job.output.parent, prefix=".states-") as scratch:
        scorer = Scorer(job.spec, answers, None if job.models_together else Path(scratch))
        with tables.writing("token_shift", job.output, job.spec.signed) as writer:
            for rows in scorer.scored():
                writer.append(rows)
            answers.report()
            if not answers.counts["scored"]:
                raise AlignlabError(f"pair {job.spec.pair}: not one answer can be scored")
            writer.note("counts", answers.counts)


class Scorer:
    """Runs both models over the same batches of answers."""

    def __init__(self, spec: ShiftSpec, answers: Answers, scratch: Path | None) -> None:
        """Load the models; with `scratch`, the aligned one runs now and leaves all but its head."""
        self.spec, self.answers = spec, answers
        dtype = spec.engine.dtype
        head, self.aligned_states = _aligned_side(answers, dtype, scratch)
        self.base = ScoringModel(answers.base, dtype)
        self.heads = HeadPair(self.base.head, head, answers.lacking)

    @torch.inference_mode()
    def scored(self) -> Iterator[pa.Table]:
        """Rows of the token_shift table, a window of answers at a time, in the answers' order."""
        vocabulary = Vocabulary(self.answers.aligned.tokenizer)
        bar = progress(self.answers.total, "answer")
        for window in windows(self.answers):
            rows = [[answer.base for answer in batch] for batch in window.batches]
            states = self.base.states(rows, window.base_prefix)
            parts = {}
            for batch, ours, theirs in zip(window.batches, states, self.aligned_states):  # noqa: B905
                shift = self._compare(batch, ours, theirs)
                bar.update(len(batch))
                kind = "shared" if self.answers.lacking else "exact"
                done = _table(self.spec, batch, shift, vocabulary, kind)
                at = 0
                for answer in batch:
                    parts[answer.number] = done.slice(at, len(answer.base.answer))
                    at += len(answer.base.answer)
            yield pa.concat_tables(parts[number] for number in sorted(parts))
        bar.close()

    def _compare(self, batch: Batch, base: Tensor, aligned: Tensor) -> Shift:
        """Compare hidden states [tokens, hidden] of a batch."""
        tokens = torch.tensor([id_ for answer in batch for id_ in answer.base.answer])
        shift = self.heads.compare(base, aligned, tokens.to(base.device))
        self._check_finite(batch, shift)
        return shift

    def _check_finite(self, batch: Batch, shift: Shift) -> None:
        """One logit that is NaN or infinite makes all of its row's divergences so."""
        finite = (shift.kl_aligned_base + shift.kl_base_aligned + shift.js).isfinite()
        if finite.all():
            return
        places = [(answer, at) for answer in batch for at in range(len(answer.base.answer))]
        answer, at = places[int(finite.logical_not().nonzero()[0])]
        raise AlignlabError(
            f"pair {self.spec.pair}: prompt {answer.row['prompt_id']} turn "
            f"{answer.row['turn']}, position {at}: a model's logits are not finite numbers"
        )


def _aligned_side(
    answers: Answers, dtype: str, scratch: Path | None
) -> tuple[OutputHead, Iterator[Tensor]]:
    """The aligned model's head and its hidden states, batch after batch.

    With `scratch` the states wait there and nothing but the head stays in memory.
    """
    model = ScoringModel(answers.aligned, dtype)
    states = _states(model, answers)
    return model.head, states if scratch is None else spilled(states, scratch)


def _states(model: ScoringModel, answers: Answers) -> Iterator[Tensor]:
    for window in windows(answers):
        rows = [[answer.aligned for answer in batch] for batch in window.batches]
        yield from model.states(rows, window.aligned_prefix)


def spilled(states: Iterable[Tensor], scratch: Path) -> Iterator[Tensor]:
    """Write tensors to a folder at once; read them back one by one."""
    paths = []
    for number, part in enumerate(states):
        paths.append(scratch / f"{number}.safetensors")
        save_file({"states": part.contiguous()}, paths[-1])
    return (load_file(path)["states"] for path in paths)


class Vocabulary:
    """Texts of token ids; each id is decoded once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._texts: dict[int, str] = {}

    def texts(self, ids: Tensor) -> pa.Array:
        """Text of each id of a flat tensor."""
        known, places = torch.unique(ids, return_inverse=True)
        texts = pa.array([self.text(id_) for id_ in known.tolist()], pa.string())
        return texts.take(pa.array(places.numpy()))

    def text(self, id_: int) -> str:
        """One id's text within a sentence: some tokenizers drop the space before a first token."""
        if id_ not in self._texts:
            within = self._decoded([*self._anchor, id_])
            self._texts[id_] = within[len(self._decoded(self._anchor)) :]
        return self._texts[id_]

    @cached_property
    def special(self) -> frozenset[int]:
        """Ids of special tokens."""
        added = self.tokenizer.added_tokens_decoder
        return frozenset(id_ for id_, token in added.items() if token.special)

    @cached_property
    def _anchor(self) -> list[int]:
        return self.tokenizer("a", add_special_tokens=False).input_ids

    def _decoded(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def _table(
    spec: ShiftSpec,
    answers: Sequence[ScoredAnswer],
    shift: Shift,
    vocabulary: Vocabulary,
    kl_kind: str,
) -> pa.Table:
    """Rows of `answers`, one after the other; `shift` holds their tokens in the same order."""
    lengths = [len(answer.base.answer) for answer in answers]
    ids = torch.tensor(list(chain.from_iterable(answer.base.answer for answer in answers)))
    columns = {
        "pair": pa.array([spec.pair] * len(ids)),
        "template": pa.array([spec.template] * len(ids)),
        **{
            name: pa.array(np.repeat([answer.row[name] for answer in answers], lengths))
            for name in ("prompt_id", "turn", "sample")
        },
        "position": pa.array(np.concatenate([np.arange(length) for length in lengths])),
        "token_id": pa.array(ids.numpy()),
        "token": vocabulary.texts(ids),
        "shift_class": pa.array(CLASSES[np.digitize(shift.base_rank.numpy(), LIMITS, right=True)]),
        "kl_kind": pa.array([kl_kind] * len(ids)),
        **{name: _column(values) for name, values in vars(shift).items()},
        "base_topk_tokens": _lists(vocabulary.texts(shift.base_topk_ids.flatten())),
        "aligned_topk_tokens": _lists(vocabulary.texts(shift.aligned_topk_ids.flatten())),
        **_kinds(answers, vocabulary),
    }
    return pa.table(columns)


def _column(values: Tensor) -> pa.Array:
    """[rows] as a column of numbers, [rows, TOP] as one of lists."""
    flat = pa.array(values.flatten().numpy())
    return flat if values.ndim == 1 else _lists(flat)


def _lists(flat: pa.Array) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(flat, TOP)


def _kinds(answers: Sequence[ScoredAnswer], vocabulary: Vocabulary) -> dict[str, list[Any]]:
    """What kind of token each is."""
    special = [[id_ in vocabulary.special for id_ in answer.base.answer] for answer in answers]
    kinds: list[str] = []
    ends: list[bool] = []
    for answer, flags in zip(answers, special, strict=True):
        kinds += categorise([vocabulary.text(id_) for id_ in answer.base.answer], flags)
        ends += [False] * (len(flags) - 1) + [answer.ended]
    flat = list(chain.from_iterable(special))
    return {"is_special": flat, "is_eos": ends, "token_category": kinds}
