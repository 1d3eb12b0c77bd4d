"""What jobs need and cost, before they run: memory, GPUs, tokens, time, dollars, bytes.

The arithmetic, which knows no subject; each room's `stages.py` applies it to what it makes. Figures
are upper bounds to reserve by: a batch is taken to be full, prompts and answers to be long. Time is
that of past jobs, or a roofline (Williams et al. 2009, doi 10.1145/1498765.1498785): a token that
is read costs 2 operations a weight, a step that writes reads every weight and the cache once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import Field

from alignlab.core.config import StrictModel

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
# Python, its libraries, tables, and the cache of a small model that runs without a GPU, MB. Of the
# demo's and lfm-demo's jobs the largest peaks 2.6 GB above two copies of its weights (max_rss of
# results/benchmarks/generate_responses/retrieval-icl-*.tsv).
PROCESS_MB = 3000
CUDA = 1e9
"""Bytes of CUDA itself and of the workspaces of its kernels."""
# Tokens of a prompt; the beginning that all prompts of an arm share is held once.
PROMPT_TOKENS = 1024

GUESSED_DEVICE = "one A100 80GB at half its peak"
BANDWIDTH = 2.0e12 / 2
"""Bytes a second: half of an A100's, by its data sheet."""
OPERATIONS = 312e12 / 2
"""Operations a second in bfloat16, half as well."""

CHARACTERS_A_TOKEN = 4
QUESTION = 400
"""Characters of a typical question."""
UNKNOWN_ANSWER = 300
"""Tokens of an answer whose arm's limit is not known."""
# Bytes in the store, compressed, as the finished demo has them (large stores pack tighter).
RESPONSE_TOKEN, SHIFT_TOKEN, ROW = 10, 260, 1000


class RuntimeConfig(StrictModel):
    """How jobs are cut and sized; never part of a digest."""

    batch_size: int = Field(
        32, gt=0, description="Prompts per forward pass; in bfloat16 near-ties may fall otherwise"
    )
    models_together: bool = Field(
        True, description="Hold both models of a pair in memory; else one after the other"
    )
    jobs_per_arm: int = Field(1, gt=0, le=1000, description="Batches of prompts, one job each")


class ExpectedQuestion(NamedTuple):
    """A row that is asked: its category, and the characters of each turn."""

    category: str
    turns: tuple[int, ...]


@dataclass(frozen=True)
class ModelSize:
    """How large a model is, by the catalog; what it does not say counts as 0.

    Attributes:
        parameters: number of weights.
        kv_values: numbers that a token leaves in the cache.
        gpus: GPUs that it is spread over.
    """

    parameters: int
    kv_values: int
    gpus: int = 1

    def weights(self, dtype: str) -> float:
        """Bytes of its weights."""
        return self.parameters * BYTES[dtype]

    def cache(self, dtype: str, tokens: float) -> float:
        """Bytes of the key-value cache of so many tokens."""
        return self.kv_values * BYTES[dtype] * tokens


def bytes_per_gpu(weights: float, held: float, gpus: int = 1) -> float:
    """Bytes on each of some GPUs, which share weights and what is held beside them."""
    return CUDA + (weights + held) / gpus


@dataclass(frozen=True)
class Need:
    """What to reserve: MB of host memory, MB on each GPU, number of GPUs."""

    mem_mb: int
    gpu_mb: int
    gpu: int


def need(
    weights: Sequence[float], held: float, gpus: int = 1, attempt: int = 1, cache: float = 0
) -> Need:
    """Memory and GPUs for models that are in memory together.

        host MB = attempt × (3,000 + all weights + largest weights + cache)
        GPU MB  = 1,000 + (all weights + held) / gpus

    While a model is loaded there are two copies of its weights in host memory. What is held lies on
    the GPU. Host memory grows with the attempt, because a job that was killed for memory is retried
    with the same data; the memory of a GPU cannot grow.

    Args:
        weights: bytes of each model: parameters × bytes of the dtype.
        held: bytes of the key-value cache of a full batch, kv_values × bytes × tokens, or of the
            activations of a training step.
        gpus: GPUs that the models are spread over.
        attempt: 1, and one more for each time the job was retried.
        cache: bytes that an engine sets apart in host memory, where there is no GPU.
    """
    host = PROCESS_MB + (sum(weights) + max(weights) + cache) / 1e6
    on_gpu = bytes_per_gpu(sum(weights), held, gpus) / 1e6
    return Need(attempt * round(host), round(on_gpu), gpus)


def need_of_calls(attempt: int) -> Need:
    """What a process needs that loads no weights."""
    return Need(attempt * PROCESS_MB, 0, 0)


@dataclass(frozen=True)
class Cost:
    """What one artefact costs, at most.

    `read` and `written` are tokens of prompts and of answers; `gpu_seconds` and `usd` are None
    where nothing is known; `basis` is the device that the seconds were measured on, or `guess`;
    `disk` is in bytes.
    """

    stage: str
    read: int = 0
    written: int = 0
    gpu_seconds: float | None = 0.0
    basis: str = ""
    usd: float | None = 0.0
    disk: int = 0


class Task(NamedTuple):
    """What must be equal for one job's time to say something of another's."""

    table: str
    model: str
    engine: str
    dtype: str


class Rate(NamedTuple):
    """Units of a task's table a second, the median of past jobs on the device used last."""

    units: float
    device: str


@dataclass(frozen=True)
class Speeds:
    """How fast models are: what past jobs noted, and a roofline for what never ran."""

    batch_size: int
    rates: Mapping[Task, Rate] = field(default_factory=dict)

    def seconds(
        self, task: Task | None, units: int, gpus: int, guessed: float | None
    ) -> tuple[float | None, str]:
        """GPU seconds of `units` of a task's table, and what they are based on."""
        rate = self.rates.get(task) if task else None
        return (gpus * units / rate.units, rate.device) if rate else (guessed, "guess")

    def roofline(
        self, size: ModelSize, dtype: str, *, read: int, written: int = 0, context: int = 0
    ) -> float:
        """GPU seconds by a roofline at half an A100's peak; 0 for a model of unknown size.

        Args:
            size: of the model.
            dtype: of its weights and its cache.
            read: tokens of prompts.
            written: tokens of answers, `batch_size` answers at a time.
            context: tokens before a typical written one.
        """
        step = size.weights(dtype) / self.batch_size + size.cache(dtype, context)
        return 2 * size.parameters * read / OPERATIONS + written * step / BANDWIDTH
