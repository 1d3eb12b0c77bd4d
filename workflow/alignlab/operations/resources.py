"""What a job that runs models needs: memory, GPU memory and GPUs, from the sizes of its models.

    snakemake --profile slurm --config experiment=lfm-paper      # what jobs ask Slurm for

`need` is the arithmetic; `needs` applies it to an artefact of the plan. Nothing is loaded: sizes
are `parameters` and `kv_values` of the catalog. The numbers are bounds to reserve by: a batch is
taken to be full, and its prompts and answers long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alignlab.core.errors import AlignlabError
from alignlab.endpoints.config import ApiEngineConfig
from alignlab.engines.gpu_memory import bytes_per_gpu, cache_bytes, weight_bytes
from alignlab.planning.artefact import Artefact, lineage
from alignlab.shift import BATCH_TOKENS
from alignlab.sources.config import ModelConfig
from alignlab.tuning.config import TRAINERS

if TYPE_CHECKING:
    from alignlab.experiment.plan import Plan

# Python, its libraries, tables, and the cache of a small model that runs without a GPU, MB. Of the
# demo's and lfm-demo's jobs the largest peaks 2.6 GB above two copies of its weights (max_rss of
# results/benchmarks/generate_responses/retrieval-icl-*.tsv).
PROCESS_MB = 3000
# Tokens of a prompt; the beginning that all prompts of an arm share is held once.
PROMPT_TOKENS = 1024
# Tokens of an example that retrieval puts before a question.
EXAMPLE_TOKENS = 512
# What a trained token leaves on a GPU, in numbers of the cache, which has 2 a layer and hidden
# unit: 1, the input that every layer keeps, and about as much for the one layer that is computed
# anew, 17 a hidden unit (Korthikanti et al. 2022, arXiv 2205.05198, §4.1 and §5).
ACTIVATIONS = 1


@dataclass(frozen=True)
class Need:
    """What to reserve: MB of host memory, MB on each GPU, number of GPUs."""

    mem_mb: int
    gpu_mb: int
    gpu: int


def need(weights: Sequence[float], held: float, gpus: int = 1, attempt: int = 1) -> Need:
    """Memory and GPUs for models that are in memory together.

        host MB = attempt × (3,000 + all weights + largest weights)

    While a model is loaded there are two copies of its weights in host memory. What is held lies on
    the GPU; `engines.gpu_memory.bytes_per_gpu` adds up what does. Host memory grows with the
    attempt, because a job that was killed for memory is retried with the same data; the memory of a
    GPU cannot grow.

    Args:
        weights: bytes of each model: parameters × bytes of the dtype.
        held: bytes of the key-value cache of a full batch, kv_values × bytes × tokens, or of the
            activations of a training step.
        gpus: GPUs that the models are spread over.
        attempt: 1, and one more for each time the job was retried.
    """
    host = PROCESS_MB + (sum(weights) + max(weights)) / 1e6
    on_gpu = bytes_per_gpu(sum(weights), held, gpus)
    return Need(attempt * round(host), round(on_gpu / 1e6), gpus)


def needs(plan: Plan, artefact: Artefact, attempt: int = 1) -> Need:
    """What a job needs that runs a model; `SIZED` lists what such jobs make.

    The fake engine, models behind an endpoint and judges that are no local model need no GPU.
    """
    return SIZED[artefact.stage](plan, artefact, attempt)


def check_sizes(plan: Plan, due: Iterable[Artefact]) -> None:
    """Check that the sizes of all models are known that artefacts are made by.

    Raises:
        AlignlabError: one is not; its jobs would ask for too little and be killed.
    """
    for artefact in lineage(due):
        if artefact.stage == "models":
            entry = plan.catalog.models[artefact.name]
            if entry.role != "embedder" and not entry.parameters:
                raise AlignlabError(
                    f"config/catalog/models.yaml: {artefact.name}: no `parameters`, by which the "
                    "memory of its jobs is counted"
                )


def _responses(plan: Plan, artefact: Artefact, attempt: int) -> Need:
    name = artefact.slice["model"]
    entry, engine = plan.catalog.models[plan.base_of(name)], plan.engine_of(name)
    if isinstance(engine, ApiEngineConfig) or engine.name == "fake":
        return _calls(attempt)
    method = artefact.slice["method"]
    examples = EXAMPLE_TOKENS * method["k"] if method["kind"] == "retrieval" else 0
    tokens = PROMPT_TOKENS + examples + artefact.slice["decoding"]["max_new_tokens"]
    held = _cache(entry, engine.dtype, plan.experiment.runtime.batch_size * tokens)
    gpus = entry.gpus if engine.name == "vllm" else 1
    return need([_weights(entry, engine.dtype)], held, gpus, attempt)


def _engine_check(plan: Plan, artefact: Artefact, attempt: int) -> Need:
    """One engine after the other holds the model, on one GPU."""
    entry = plan.catalog.models[plan.base_of(artefact.slice["model"])]
    dtype = artefact.slice["engine"]["dtype"]
    held = _cache(entry, dtype, plan.experiment.runtime.batch_size * PROMPT_TOKENS)
    return need([_weights(entry, dtype)], held, attempt=attempt)


def _shift(plan: Plan, artefact: Artefact, attempt: int) -> Need:
    dtype = plan.experiment.engine.dtype
    names = [plan.base_of(artefact.slice[side]["model"]) for side in ("base", "aligned")]
    entries = [plan.catalog.models[name] for name in names]
    held = max(_cache(entry, dtype, BATCH_TOKENS) for entry in entries)
    weights = [_weights(entry, dtype) for entry in entries]
    together = plan.experiment.runtime.models_together
    return need(weights if together else [max(weights)], held, attempt=attempt)


def _adapter(plan: Plan, artefact: Artefact, attempt: int) -> Need:
    spec, dtype = artefact.slice, plan.experiment.engine.dtype
    entry = plan.catalog.models[spec["base"]]
    weights, trainer = [_weights(entry, dtype)], TRAINERS[spec["trainer"]]
    if trainer.rewards:
        weights.append(_weights(entry, "float32"))
    tokens = spec["batch_size"] * trainer.answers(spec) * spec["max_length"]
    return need(weights, ACTIVATIONS * _cache(entry, dtype, tokens), attempt=attempt)


def _judged(plan: Plan, artefact: Artefact, attempt: int) -> Need:
    chosen = next(j for j in plan.experiment.judges if j.name == artefact.slice["judge"])
    judge = plan.catalog.judges[chosen.judge]
    if not judge.loads:
        return _calls(attempt)
    entry, dtype = plan.catalog.models[judge.loads], plan.experiment.engine.dtype
    tokens = plan.experiment.runtime.batch_size * (PROMPT_TOKENS + judge.writes)
    return need([_weights(entry, dtype)], _cache(entry, dtype, tokens), attempt=attempt)


def _calls(attempt: int) -> Need:
    """A process that loads no weights."""
    return Need(attempt * PROCESS_MB, 0, 0)


def _weights(entry: ModelConfig, dtype: str) -> float:
    return weight_bytes(entry.parameters or 0, dtype)


def _cache(entry: ModelConfig, dtype: str, tokens: float) -> float:
    return cache_bytes(entry.kv_values or 0, dtype, tokens)


SIZED: dict[str, Callable[[Plan, Artefact, int], Need]] = {
    "responses": _responses,
    "engine_checks": _engine_check,
    "shift": _shift,
    "adapters": _adapter,
    "judgements": _judged,
    "preferences": _judged,
}
"""Stage → what sizes the jobs that run models for it."""
