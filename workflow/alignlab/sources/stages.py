"""The artefacts that are brought in: models, prompts, answers and judgements that others published.

A digest covers what a source is, with contents in place of file names; where it lies is `place`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alignlab.core.config import dump
from alignlab.endpoints.config import ApiEngineConfig
from alignlab.engines.config import EngineConfig
from alignlab.planning.artefact import Artefact, Stage
from alignlab.planning.forecast import (
    QUESTION,
    RESPONSE_TOKEN,
    UNKNOWN_ANSWER,
    Cost,
    ExpectedQuestion,
    ModelSize,
    Need,
    RuntimeConfig,
    Speeds,
)
from alignlab.planning.versions import Unit
from alignlab.sources.config import (
    ApiModelConfig,
    DatasetConfig,
    HubConfig,
    LocalConfig,
    ModelConfig,
    PromptSetConfig,
    PublishedAnswersConfig,
    WheelConfig,
)

# What it says of artefacts is in the specs.
CHANGES_NO_VALUE = True

MOST_BYTES = 4
"""Bytes of a weight, at most: only the files say their precision."""
COPYING_MB, UNPACKING_MB = 8000, 1000
"""A process that has a file of weights in memory to rename its tensors, and one without weights."""
UNPACKED_BYTES = 6
"""Bytes of a weight while a GGUF file is unpacked: 4 in float32, and in the file at most 2."""
UNKNOWN_CATEGORY = "regular"
"""Category of rows whose category only the dataset's file says."""


@dataclass(frozen=True)
class UsedModel:
    """A model as arms name it: of the catalog, tuned here, or behind an endpoint.

    Attributes:
        name: the arms' word for it.
        entry: the catalog's, which for a tuned one is its base's.
        engine: what runs it.
        artefacts: what a job loads, by role: `model`, and `adapter` of a tuned one; nothing for
            one behind an endpoint.
    """

    name: str
    entry: ModelConfig
    engine: EngineConfig | ApiEngineConfig
    artefacts: dict[str, Artefact]

    @property
    def size(self) -> ModelSize:
        """Its size, by the catalog."""
        return size_of(self.entry)

    @property
    def endpoint(self) -> ApiModelConfig | None:
        """Where it answers, if it is behind an endpoint."""
        source = self.entry.source
        return source if isinstance(source, ApiModelConfig) else None


def size_of(entry: ModelConfig) -> ModelSize:
    """The size of a model of the catalog."""
    return ModelSize(entry.parameters or 0, entry.kv_values or 0, entry.gpus)


def model(name: str, entry: ModelConfig) -> Artefact:
    """Weights and tokenizer of a catalog model; its fact is the entry."""
    spec = {"id": name, **dump(entry, {"role", "chat_template"}), **entry.source.content({})}
    if entry.engine == "vllm":  # which alone runs quantised weights
        spec["engine"] = "vllm"
    return Artefact(MODELS, name, spec, place=entry.source.place({}), facts=entry)


def prompts(chosen: PromptSetConfig, datasets: Mapping[str, DatasetConfig]) -> Artefact:
    """The chosen rows of a dataset; its fact is a function that says which rows to expect."""
    entry = datasets[chosen.dataset]
    spec = {
        "dataset": chosen.dataset,
        **entry.content(datasets),
        "selection": dump(chosen),
    }
    lies = entry.source.place(datasets)
    expected = partial(_expected, entry, chosen)
    return Artefact(PROMPTS, chosen.dataset, spec, place=lies, facts=expected)


def published(arm: str, source: PublishedAnswersConfig, asked: Sequence[Artefact]) -> Artefact:
    """Answers that somebody else generated."""
    spec = {"arm": arm, **dump(source, {"model"}), **source.source.content({})}
    lies = source.source.place({})
    return Artefact(PUBLISHED_RESPONSES, arm, spec, {"prompts": asked}, lies)


def stored_questions(path: Path) -> list[ExpectedQuestion]:
    """The rows of a prompts table, to be counted."""
    from alignlab.core import tables

    rows = tables.rows("prompts", path)
    return [ExpectedQuestion(r["category"], tuple(map(len, r["turns"]))) for r in rows]


def _asked(artefact: Artefact) -> list[ExpectedQuestion]:
    """Exact for a table that is there; else what the catalog lets expect, at most."""
    return stored_questions(artefact.path) if artefact.path.exists() else artefact.facts()


def _expected(entry: DatasetConfig, chosen: PromptSetConfig) -> list[ExpectedQuestion]:
    """Rows of the catalog that a selection keeps at most: `where` and `per` need the rows.

    Questions are of typical length; there are none of a dataset of unknown size.
    """
    rows: Counter[str] = Counter(entry.rows or {})
    if not rows and chosen.take and chosen.per is None:
        rows[entry.category or UNKNOWN_CATEGORY] = chosen.take
    kinds = sorted(rows.elements())
    wanted = len(chosen.ids) if chosen.ids else chosen.take if chosen.per is None else None
    # Evenly over the categories: a draw keeps their shares, about.
    kept = kinds if wanted is None or wanted >= len(kinds) else kinds[:: len(kinds) // wanted]
    turns = min(2 if entry.columns and entry.columns.turns else 1, chosen.turns or 2)
    return [ExpectedQuestion(category, (QUESTION,) * turns) for category in kept[:wanted]]


def answers_of(responses: Artefact) -> tuple[int, int]:
    """Answers of a responses table, and their tokens: counted if the store holds it."""
    if responses.path.exists():
        from alignlab.core import tables

        read = tables.opened("responses", responses.path).read(["num_tokens"])
        counted = read["num_tokens"].to_pylist()
        return len(counted), sum(number or 0 for number in counted)
    asked = [question for parent in responses.parent("prompts") for question in parent.questions()]
    decoding = responses.slice.get("decoding", {"samples": 1, "max_new_tokens": UNKNOWN_ANSWER})
    number = decoding["samples"] * sum(len(question.turns) for question in asked)
    return number, number * decoding["max_new_tokens"]


def _cost_of_model(artefact: Artefact, speeds: Speeds) -> Cost:
    entry: ModelConfig = artefact.facts
    return Cost(artefact.stage, disk=MOST_BYTES * (entry.parameters or 0))


def _needs_of_model(artefact: Artefact, runtime: RuntimeConfig, attempt: int) -> Need:
    """Safetensors are copied file by file; all of a GGUF file is unpacked at once."""
    entry: ModelConfig = artefact.facts
    unpacked = UNPACKED_BYTES * (entry.parameters or 0) / 1e6 if _is_gguf(entry) else 0
    return Need(attempt * max(COPYING_MB, round(UNPACKING_MB + unpacked)), 0, 0)


def _is_gguf(entry: ModelConfig) -> bool:
    source = entry.source
    if isinstance(source, WheelConfig):
        return any(name.endswith(".gguf") for name in source.files)
    if isinstance(source, HubConfig):
        return bool(source.file)
    return isinstance(source, LocalConfig) and source.path.endswith(".gguf")


def _cost_of_published(artefact: Artefact, speeds: Speeds) -> Cost:
    return Cost(artefact.stage, disk=answers_of(artefact)[1] * RESPONSE_TOKEN)


MODELS = Stage(
    name="models",
    table=None,
    units=(Unit("models", "alignlab.sources.models"),),
    needs=_needs_of_model,
    cost=_cost_of_model,
)
PROMPTS = Stage(
    name="prompts",
    table="prompts",
    units=(Unit("prompts", "alignlab.sources.datasets"),),
    questions=_asked,
)
PUBLISHED_RESPONSES = Stage(
    name="responses",
    table="responses",
    units=(Unit("published responses", "alignlab.sources.published"),),
    cost=_cost_of_published,
)
STAGES = (MODELS, PROMPTS, PUBLISHED_RESPONSES)
