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
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from alignlab.core.errors import AlignlabError
from alignlab.engines.base import Completion, Ending, Request, end_ids
from alignlab.engines.config import DecodingConfig
from alignlab.engines.gpu_memory import check_gpu_memory
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
    # By default it would take nearly all memory of the machine: 2 GiB of cache, without a GPU.
    "VLLM_CPU_KVCACHE_SPACE": "2",
}
# Ranks that vLLM has kernels for; an adapter may have any rank up to the one chosen.
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


class VllmEngine:
    """A causal language model with its tokenizer, run by vLLM.

    Attributes:
        prompted: prompt tokens of finished answers.
        cached: those of them that vLLM found in its prefix cache.
    """

    def __init__(self, folder: Path, dtype: str, batch_size: int, adapter: Path | None) -> None:
        """Load a materialised model in `dtype`, on all visible GPUs or else on the CPU.

        An adapter is applied to it while running, and brings the tokenizer it was tuned with.

        Raises:
            AlignlabError: the folder holds no model that vLLM can load, or the adapter is none
                that it can apply.
        """
        try:
            self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                adapter or folder, trust_remote_code=False
            )
            self.llm, self._lora = _loaded(folder, dtype, adapter)
            named = GenerationConfig.from_pretrained(folder).eos_token_id
        except (OSError, ValueError, RuntimeError, NotImplementedError) as error:
            raise AlignlabError(f"{adapter or folder}: vLLM cannot load it: {error}") from error
        self.end_ids = end_ids(named, self.tokenizer)
        self.batch_size = batch_size
        self.context_window = int(self.llm.llm_engine.model_config.max_model_len)
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
            AlignlabError: the decoding is one that vLLM does not have.
        """
        del prefix  # vLLM finds by itself what prompts begin with.
        running = {self._add(r, decoding, stopping): (i, r) for i, r in enumerate(requests)}
        endings = {
            name: Ending(self.tokenizer, self.end_ids, stopping, [self._budget(r, decoding)])
            for name, (_, r) in running.items()
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
    return next(rank for rank in RANKS if rank >= config["r"])


def _loaded(folder: Path, dtype: str, adapter: Path | None) -> tuple[Any, Any]:
    """A model in vLLM, and what names its adapter."""
    # Warnings about how vLLM was built and installed; what fails is raised.
    logging.getLogger("vllm").setLevel(logging.ERROR)
    os.environ |= {key: os.environ.get(key, value) for key, value in SETTINGS.items()}
    from vllm import LLM
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
        enable_prefix_caching=True,
        enforce_eager=not gpus,
        tokenizer=str(adapter or folder),
        generation_config="vllm",
        load_format="safetensors",
        use_tqdm_on_load=False,
        **tuned,
    )
    return llm, LoRARequest(adapter.name, 1, str(adapter)) if adapter else None


def load(folder: Path, dtype: str, batch_size: int, adapter: Path | None = None) -> VllmEngine:
    """Load a model, tuned if there is an adapter; every engine module has this function."""
    return VllmEngine(folder, dtype, batch_size, adapter)
