"""How probable some next tokens are, after prompts that share long beginnings.

What all prompts begin with is run once, what the prompts of a group begin with once a group, and of
each prompt only the rest, on a cache that is cut back afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from alignlab.engines.prefix_attention import Prefix
from alignlab.engines.transformers_engine import TransformersEngine
from alignlab.prompting.encode import common_context


@dataclass(frozen=True)
class ScoredQuestion:
    """A prompt, and the ids that may come next."""

    prompt_ids: list[int]
    choices: list[int]


Group = Sequence[ScoredQuestion]


class ScoringEngine(TransformersEngine):
    """A causal language model that can also say how probable next tokens are."""

    @torch.inference_mode()
    def score(self, groups: Sequence[Group]) -> Iterator[list[tuple[int, list[Tensor]]]]:
        """Log-probabilities of every question's choices; yields as batches of groups finish.

        Args:
            groups: questions that fit the context window. Those of a group share a beginning and
                differ at their ends; questions of all groups may share a beginning too.

        Yields:
            (index of the group, for each question float32 [choices], natural logarithms over the
            whole vocabulary) for each group of a batch.

        Raises:
            ValueError: the questions of a group have not even their first token in common.
        """
        stems = [_stem(group) for group in groups]
        if not all(stems):
            raise ValueError("the questions of a group must begin alike")
        if self.plain:
            for at, group in enumerate(groups):
                yield [(at, [self._score_plainly(question) for question in group])]
            return
        prefix = self.prefill_prefix(common_beginning(groups))
        order = sorted(range(len(groups)), key=lambda i: len(stems[i]), reverse=True)
        for at in range(0, len(order), self.batch_size):
            batch = order[at : at + self.batch_size]
            scores = self._score([groups[i] for i in batch], [stems[i] for i in batch], prefix)
            yield list(zip(batch, scores, strict=True))

    def _score_plainly(self, question: ScoredQuestion) -> Tensor:
        self.prefilled += len(question.prompt_ids)
        ids = torch.tensor([question.prompt_ids], device=self.device)
        logits: Tensor = self.model(input_ids=ids, use_cache=False).logits[0, -1].float()
        return logits.log_softmax(-1)[question.choices].cpu()

    def _score(
        self, groups: list[Group], stems: list[list[int]], prefix: Prefix
    ) -> list[list[Tensor]]:
        """A batch of groups, one question of each at a time.

        In a batch of groups of different sizes the smaller ones ask their last question again.
        """
        batch = self.start([stem[prefix.length :] for stem in stems], prefix)
        found: list[list[Tensor]] = [[] for _ in groups]
        for member in range(max(map(len, groups))):
            asked = [group[min(member, len(group) - 1)] for group in groups]
            ends = [q.prompt_ids[len(stem) :] for q, stem in zip(asked, stems, strict=True)]
            logits = batch.peek(ends).log_softmax(-1)
            for said, question, row in zip(found, asked, logits, strict=True):
                said.append(row[question.choices].cpu())
        return [said[: len(group)] for said, group in zip(found, groups, strict=True)]


def common_beginning(groups: Sequence[Group]) -> list[int]:
    """What all questions begin with, but for a token of what each group has in common."""
    return common_context(map(_stem, groups))


def _stem(group: Group) -> list[int]:
    return common_context(question.prompt_ids for question in group)


def load(folder: Path, dtype: str, batch_size: int) -> ScoringEngine:
    """Load a model.

    Raises:
        AlignlabError: the folder holds no model that transformers can load.
    """
    return ScoringEngine(folder, dtype, batch_size, None)
