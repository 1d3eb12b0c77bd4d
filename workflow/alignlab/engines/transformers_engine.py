"""Answers prompts with a transformers model, on CPU or CUDA, prefilling a shared prefix once.

Batches are sorted by length and padded on the left; a row leaves its batch when it ends. A model
that this would change (`alignlab.engines.equality`) is run by plain `generate`, one row at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from alignlab.core.errors import AlignlabError
from alignlab.engines.base import Completion, Ending, Request, end_ids
from alignlab.engines.batches import PrefixModel
from alignlab.engines.config import DecodingConfig
from alignlab.engines.equality import compare, context_window, outcome_of
from alignlab.engines.gpu_memory import check_gpu_memory
from alignlab.engines.packing import require_unpacked
from alignlab.engines.prefix_attention import NAME, Prefix
from alignlab.prompting.encode import Stopping, begins_with

FEW_ROWS = 64
log = logging.getLogger(__name__)


class TransformersEngine(PrefixModel):
    """A causal language model with its tokenizer.

    Attributes:
        plain: why rows are run alone by transformers' own code, empty for the fast way.
    """

    def __init__(self, folder: Path, dtype: str, batch_size: int, adapter: Path | None) -> None:
        """Load a materialised model in `dtype`, on CUDA if there is one.

        An adapter is merged into it, and brings the tokenizer that it was tuned with.

        Raises:
            AlignlabError: the folder holds no model that transformers can load, or packed weights,
                or the adapter is none of this model, or the GPU is too small for it.
        """
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if device.type == "cuda":
            check_gpu_memory(folder, dtype, batch_size)
        self.plain = outcome_of(folder).reason
        require_unpacked(folder)
        model = _loaded(folder, dtype, device, adapter, None if self.plain else NAME)
        if not self.plain and (reason := compare(model)):
            del model  # there may be no room for two
            self.plain, model = reason, _loaded(folder, dtype, device, adapter, None)
        if self.plain:
            log.warning("%s runs one row at a time, slowly: %s", folder.name, self.plain)
        super().__init__(model, device)
        self.batch_size = batch_size
        self.context_window = context_window(model.config, folder)
        self._spoken = adapter or folder

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Loaded when asked for: a scorer of token ids never does, and a large one takes seconds.

        Raises:
            AlignlabError: the folder holds no tokenizer.
        """
        try:
            return AutoTokenizer.from_pretrained(self._spoken, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise AlignlabError(f"{self._spoken}: cannot be loaded: {error}") from error

    @cached_property
    def end_ids(self) -> set[int]:
        """Every token that ends a turn."""
        return end_ids(self.model.generation_config.eos_token_id, self.tokenizer)

    @property
    def vocabulary(self) -> int:
        """Ids that have a logit."""
        return int(self.model.config.get_text_config(decoder=True).vocab_size)

    @torch.inference_mode()
    def generate(
        self,
        requests: Sequence[Request],
        prefix: Sequence[int],
        decoding: DecodingConfig,
        stopping: Stopping,
    ) -> Iterator[list[tuple[int, Completion]]]:
        """See `Engine.generate`."""
        if self.plain:
            for at, request in enumerate(requests):
                yield [(at, self._answer_plainly(request, decoding, stopping))]
            return
        shared = list(prefix)
        fits = [begins_with(request.prompt_ids, shared) for request in requests]
        for chosen, start in ((True, shared), (False, [])):
            indices = [i for i, fit in enumerate(fits) if fit == chosen]
            if not indices:
                continue
            computed = self.prefill_prefix(start)
            indices.sort(key=lambda i: len(requests[i].prompt_ids), reverse=True)
            for at in range(0, len(indices), self.batch_size):
                batch = indices[at : at + self.batch_size]
                answers = self._answer([requests[i] for i in batch], computed, decoding, stopping)
                yield list(zip(batch, answers, strict=True))

    def prefill_prefix(self, ids: list[int]) -> Prefix:
        """See `PrefixModel`; of a model that is run plainly it is empty: rows are run whole."""
        return super().prefill_prefix([] if self.plain else ids)

    def _answer(
        self, requests: list[Request], prefix: Prefix, decoding: DecodingConfig, stopping: Stopping
    ) -> list[Completion]:
        """Decode one batch; rows that end leave it, so the last long answer runs alone."""
        prompts, budgets = [r.prompt_ids for r in requests], self._budgets(requests, decoding)
        ending = Ending(self.tokenizer, self.end_ids, stopping, prompts, budgets)
        own = [ids[prefix.length :] for ids in prompts]
        chooser = Chooser(requests, decoding, self.vocabulary, self.device)
        batch = self.start(own, prefix)
        while True:
            tokens = chooser.choose(batch.logits).tolist()
            staying = ending.accept(tokens)
            if not staying:
                return ending.completions
            if len(staying) < len(tokens):
                batch.keep(staying)
                chooser.keep(staying)
            batch.extend([[tokens[row]] for row in staying])

    def _answer_plainly(
        self, request: Request, decoding: DecodingConfig, stopping: Stopping
    ) -> Completion:
        """One row by transformers' own `generate`, with our choice of tokens and our endings."""
        prompts, budgets = [request.prompt_ids], self._budgets([request], decoding)
        ending = Ending(self.tokenizer, self.end_ids, stopping, prompts, budgets)
        chooser = Chooser([request], decoding, self.vocabulary, self.device)
        self.prefilled += len(request.prompt_ids)
        ids = torch.tensor([request.prompt_ids], device=self.device)
        # What the model's own generation config asks for beside its end is no part of a decoding.
        own, self.model.generation_config = self.model.generation_config, GenerationConfig()
        try:
            self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                generation_config=GenerationConfig(max_new_tokens=budgets[0], pad_token_id=0),
                logits_processor=LogitsProcessorList([_Chosen(chooser)]),
                stopping_criteria=StoppingCriteriaList([_Ended(ending)]),
            )
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise AlignlabError(
                f"{self._spoken}: transformers' own generate fails for this architecture: {error}"
            ) from error
        finally:
            self.model.generation_config = own
        return ending.completions[0]

    def _budgets(self, requests: list[Request], decoding: DecodingConfig) -> list[int]:
        """New tokens a row may have: what was asked for, as far as the context window goes."""
        room = [self.context_window - len(request.prompt_ids) for request in requests]
        return [min(decoding.max_new_tokens, tokens) for tokens in room]


def _loaded(
    folder: Path, dtype: str, device: torch.device, adapter: Path | None, attention: str | None
) -> Any:
    """Weights on a device, ready to answer; without a name, attention is transformers' own."""
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, ImportError) as error:
        raise AlignlabError(f"{folder}: cannot be loaded: {error}") from error
    if adapter:
        from alignlab.engines.adapter import adapted  # PEFT takes seconds to import

        model = adapted(model, adapter)
    model.to(device).eval()
    if torch.get_num_threads() > 1:
        turn_linears_round(model)
    return model


def load(
    folder: Path, dtype: str, batch_size: int, adapter: Path | None = None
) -> TransformersEngine:
    """Load a model, tuned if there is an adapter; every engine module has this function."""
    return TransformersEngine(folder, dtype, batch_size, adapter)


class Chooser:
    """Turns logits into tokens, greedy or sampled, for a batch whose rows may leave.

    The repetition penalty (Keskar et al. 2019) counts generated tokens; prompt tokens only under
    `penalize_prompt`, because a 1,000-token in-context prompt would otherwise be punished itself.
    """

    def __init__(
        self, requests: list[Request], decoding: DecodingConfig, vocab: int, device: torch.device
    ) -> None:
        self.decoding = decoding
        self.generators = [_generator(request, device) for request in requests]
        self.seen: Tensor | None = None
        if decoding.repetition_penalty != 1:
            self.seen = torch.zeros(len(requests), vocab, dtype=torch.bool, device=device)
            if decoding.penalize_prompt:
                for row, request in enumerate(requests):
                    self.seen[row, torch.tensor(request.prompt_ids, device=device)] = True

    def choose(self, logits: Tensor) -> Tensor:
        """Tokens [batch] for float32 logits [batch, vocab].

        Raises:
            AlignlabError: a logit is no number.
        """
        if logits.isnan().any():
            raise AlignlabError(
                "the model's logits are no numbers, as where float16 overflows: set `engine.dtype` "
                "to bfloat16 or float32"
            )
        if self.seen is not None:
            penalty = self.decoding.repetition_penalty
            punished = torch.where(logits < 0, logits * penalty, logits / penalty)
            logits = torch.where(self.seen, punished, logits)
        tokens = self._sample(logits) if self.decoding.temperature else logits.argmax(dim=-1)
        if self.seen is not None:
            self.seen[torch.arange(len(tokens), device=tokens.device), tokens] = True
        return tokens

    def keep(self, rows: list[int]) -> None:
        """Forget the rows that left."""
        self.generators = [self.generators[row] for row in rows]
        if self.seen is not None:
            self.seen = self.seen[rows]

    def _sample(self, logits: Tensor) -> Tensor:
        warped = TemperatureLogitsWarper(self.decoding.temperature)(None, logits)
        if self.decoding.top_p < 1:
            warped = TopPLogitsWarper(self.decoding.top_p)(None, warped)
        rows = zip(warped.softmax(dim=-1), self.generators, strict=True)
        return torch.cat([torch.multinomial(p, 1, generator=g) for p, g in rows])


class _Chosen(LogitsProcessor):
    """Leaves `generate` one token to take."""

    def __init__(self, chooser: Chooser) -> None:
        self.chooser = chooser

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        tokens = self.chooser.choose(scores.float())
        return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0.0)


class _Ended(StoppingCriteria):
    """Tells `generate` that its row has ended."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        staying = self.ending.accept(input_ids[:, -1].tolist())
        return torch.tensor([not staying], device=input_ids.device)


def _generator(request: Request, device: torch.device) -> torch.Generator:
    """A row's own source of chance, so that its answer never depends on its batch."""
    generator = torch.Generator(device)
    return generator.manual_seed(request.seed or 0)


class SkinnyLinear(nn.Linear):
    """`nn.Linear` with the same weights, for inputs of few rows, by turning the product round.

    One new token for each of 32 rows makes a product of 32 rows by a wide weight. MKL spreads the
    rows of its left side over threads, and 32 are too few; with the weight on the left the same
    product took half the time on two threads (float32: 155 ms against 310 ms for a 262,144-token
    head). On one thread there is nothing to gain.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Map [..., in_features] to [..., out_features]."""
        rows = input.reshape(-1, self.in_features)
        if len(rows) > FEW_ROWS:
            return super().forward(input)
        output = (self.weight @ rows.T).T.contiguous()
        if self.bias is not None:
            output += self.bias
        return output.view(*input.shape[:-1], self.out_features)


def turn_linears_round(model: nn.Module) -> None:
    """Let every plain linear layer of a float32 model on a CPU decode faster; values stay."""
    for module in model.modules():
        plain = type(module) is nn.Linear
        if plain and module.weight.dtype == torch.float32 and module.weight.device.type == "cpu":
            module.__class__ = SkinnyLinear
