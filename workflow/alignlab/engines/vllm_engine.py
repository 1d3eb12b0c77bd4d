"""Answers prompts with vLLM: continuous batching, a cached prefix, one model over several GPUs.

Runs in an environment of its own (`envs/vllm.lock`): vLLM pins what the other engines share.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from alignlab.core.errors import AlignlabError
from alignlab.engines.base import Completion, Ending, Request, end_ids
from alignlab.engines.config import CPU_CACHE, CPU_CACHE_GIB, VLLM_RANKS, DecodingConfig
from alignlab.engines.equality import context_window, rope_types
from alignlab.engines.gpu_memory import check_gpu_memory
from alignlab.engines.packing import unpacking
from alignlab.prompting.encode import Stopping

SETTINGS = {
    # Its scheduler runs in this process: the same requests then make the same batches, and a
    # killed job leaves no process behind.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # Its records go where the job's records go.
    "VLLM_CONFIGURE_LOGGING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    # Jobs that run side by side must not be bound to the same cores.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    CPU_CACHE: CPU_CACHE_GIB,
}


class VllmEngine:
    """A causal language model with its tokenizer, run by vLLM.

    Attributes:
        context_window: tokens that the model can see, as transformers has it.
        room: tokens of a prompt with its answer that vLLM can hold here; at most the window.
        prompted: prompt tokens of finished answers.
        cached: those of them that vLLM found in its prefix cache.
    """

    plain = ""

    def __init__(self, folder: Path, dtype: str, batch_size: int, adapter: Path | None) -> None:
        """Load a materialised model in `dtype`, on all visible GPUs or else on the CPU.

        An adapter is applied to it while running, and brings the tokenizer it was tuned with.

        Raises:
            AlignlabError: the folder holds no model that vLLM can load, or packed weights without
                kernels for this machine, or the adapter is none that it can apply.
        """
        try:
            self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                adapter or folder, trust_remote_code=False
            )
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            self.context_window = context_window(config, folder)
            with unpacking(folder, dtype):
                self.llm, self._lora = _loaded(folder, dtype, adapter)
            named = GenerationConfig.from_pretrained(folder).eos_token_id
        except (OSError, ValueError, RuntimeError, NotImplementedError) as error:
            raise AlignlabError(f"{adapter or folder}: vLLM cannot load it: {error}") from error
        self.end_ids = end_ids(named, self.tokenizer)
        self.batch_size = batch_size
        held = int(self.llm.llm_engine.model_config.max_model_len)
        self.room = min(held, self.context_window)
        self._longrope = "longrope" in rope_types(config)
        self._name = (adapter or folder).name
        self.prompted = self.cached = 0
        self._names = map(str, count())

    def generate(
        self,
        requests: Sequence[Request],
        prefix: Sequence[int],
        decoding: DecodingConfig,
        stopping: Stopping,
    ) -> Iterator[list[tuple[int, Completion]]]:
        """See `Engine.generate`. All requests are in vLLM's hands at once; what has finished is
        yielded in chunks of `batch_size`, while the others go on.

        Raises:
            AlignlabError: a prompt with its answer is longer than vLLM can hold.
        """
        del prefix  # vLLM finds by itself what prompts begin with.
        if lacking := self.lacks_room(
            [len(r.prompt_ids) for r in requests], decoding.max_new_tokens
        ):
            raise AlignlabError(lacking)
        running = {self._add(r, decoding, stopping): (i, r) for i, r in enumerate(requests)}
        endings = {
            name: Ending(
                self.tokenizer,
                self.end_ids,
                stopping,
                [request.prompt_ids],
                [self._budget(request, decoding)],
            )
            for name, (_, request) in running.items()
        }
        finished: list[tuple[int, Completion]] = []
        try:
            while running:
                for name in self._step(endings):
                    index, _ = running.pop(name)
                    finished.append((index, endings.pop(name).completions[0]))
                while len(finished) >= self.batch_size or (finished and not running):
                    yield finished[: self.batch_size]
                    del finished[: self.batch_size]
        finally:
            self.llm.llm_engine.abort_request(list(running))

    def lacks_room(self, prompts: Sequence[int], new: int) -> str:
        """Why prompts of so many tokens cannot be answered in full; empty if they can.

        The model's window bounds an answer, as with transformers; what vLLM can hold never does.
        """
        needed = max((min(tokens + new, self.context_window) for tokens in prompts), default=0)
        if needed <= self.room:
            return ""
        return (
            f"{self._name}: a prompt with its answer has up to {needed} tokens, and vLLM runs "
            f"{self.room} of the model's {self.context_window} here: {self._cure()}"
        )

    def _cure(self) -> str:
        if self._longrope:
            return (
                "beyond them it computes its rope in another way than transformers; lower "
                "`max_new_tokens`, ask shorter prompts, or let transformers run the model"
            )
        if torch.cuda.device_count():
            return "lower `max_new_tokens`, take a larger GPU, or spread the model with `gpus`"
        return f"its cache has {os.environ[CPU_CACHE]} GiB; set {CPU_CACHE} higher"

    def greedy(self, prompts: list[list[int]], new: int) -> list[tuple[list[int], list[float]]]:
        """At most `new` greedy tokens after each prompt, and their log-probabilities in nats."""
        from vllm import SamplingParams

        params = SamplingParams(
            temperature=0,
            max_tokens=new,
            stop_token_ids=sorted(self.end_ids),
            detokenize=False,
            logprobs=0,
        )
        given = [{"prompt_token_ids": ids} for ids in prompts]
        outputs = self.llm.generate(given, params, use_tqdm=False, lora_request=self._lora)
        answers = [output.outputs[0] for output in outputs]
        return [
            (
                list(a.token_ids),
                [at[i].logprob for i, at in zip(a.token_ids, a.logprobs, strict=True)],
            )
            for a in answers
        ]

    def _step(self, endings: dict[str, Ending]) -> list[str]:
        """One step of vLLM; names of the requests that have ended."""
        ended = []
        for output in self.llm.llm_engine.step():
            ending = endings[output.request_id]
            tokens = output.outputs[0].token_ids
            if any(not ending.accept([token]) for token in tokens) or output.finished:
                ended.append(output.request_id)
                self.prompted += len(output.prompt_token_ids)
                self.cached += output.num_cached_tokens or 0
                if not output.finished:
                    self.llm.llm_engine.abort_request([output.request_id])
        return ended

    def _add(self, request: Request, decoding: DecodingConfig, stopping: Stopping) -> str:
        """Hand a request to vLLM, under a name that no other has."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            temperature=decoding.temperature,
            top_p=decoding.top_p if decoding.temperature else 1.0,
            repetition_penalty=decoding.repetition_penalty,
            seed=request.seed,
            max_tokens=self._budget(request, decoding),
            stop_token_ids=sorted(self.end_ids.union(stopping.tokens)),
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )
        prompt = {"prompt_token_ids": request.prompt_ids}
        name = next(self._names)
        self.llm.llm_engine.add_request(name, prompt, params, lora_request=self._lora)
        return name

    def _budget(self, request: Request, decoding: DecodingConfig) -> int:
        """New tokens a request may have: what was asked for, as far as the context window goes."""
        return min(decoding.max_new_tokens, self.context_window - len(request.prompt_ids))


def rank_of(adapter: Path) -> int:
    """The least rank that vLLM has kernels for and that holds an adapter.

    Raises:
        AlignlabError: the adapter is of experts, which vLLM reads in another layout.
    """
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get("target_parameters"):
        raise AlignlabError(
            f"{adapter}: the adapter is of routed experts, which is not run by vLLM; set "
            "`engine.name` to transformers, or name other layers as `lora.targets`"
        )
    return next(rank for rank in VLLM_RANKS if rank >= config["r"])


def _loaded(folder: Path, dtype: str, adapter: Path | None) -> tuple[Any, Any]:
    """A model in vLLM, and what names its adapter."""
    # Warnings about how vLLM was built and installed; what fails is raised.
    logging.getLogger("vllm").setLevel(logging.ERROR)
    os.environ |= {key: os.environ.get(key, value) for key, value in SETTINGS.items()}
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    tuned: dict[str, Any] = {}
    if adapter:
        tuned = {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank_of(adapter)}
    gpus = torch.cuda.device_count()
    if gpus:
        check_gpu_memory(folder, dtype, rows=1, gpus=gpus)
    llm = LLM(
        str(folder),
        dtype=dtype,
        trust_remote_code=False,
        seed=0,
        tensor_parallel_size=max(1, gpus),
        # As much of the model's window as the cache holds.
        max_model_len=-1,
        enable_prefix_caching=True,
        enforce_eager=not gpus,
        tokenizer=str(adapter or folder),
        generation_config="vllm",
        load_format="safetensors",
        use_tqdm_on_load=False,
        **tuned,
    )
    lora = LoRARequest(adapter.name, 1, str(adapter)) if adapter else None
    # Some kernels are missed only once they are called.
    first = SamplingParams(max_tokens=1, detokenize=False)
    llm.generate([{"prompt_token_ids": [0]}], first, use_tqdm=False, lora_request=lora)
    return llm, lora


def load(folder: Path, dtype: str, batch_size: int, adapter: Path | None = None) -> VllmEngine:
    """Load a model, tuned if there is an adapter; every engine module has this function."""
    return VllmEngine(folder, dtype, batch_size, adapter)
