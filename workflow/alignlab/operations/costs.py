"""What the artefacts that a store lacks would cost: tokens, GPU hours, dollars, bytes.

    alignlab check urial-paper                  # a line a stage; `snakemake --dry-run` ends with it

Upper bounds: every answer is taken to be as long as its arm may make it. Questions are counted
where they are fetched, else by the catalog. `alignlab.operations.judge_costs` has what judges cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import pyarrow.compute as pc

from alignlab.answering.stages import SIDES
from alignlab.core import tables
from alignlab.endpoints.config import PriceConfig
from alignlab.engines.gpu_memory import BYTES
from alignlab.operations.throughput import Rate, Task, guess, rates, task_of
from alignlab.planning.artefact import Artefact
from alignlab.sources.config import ApiModelConfig, PromptSetConfig
from alignlab.tuning.config import TRAINERS

if TYPE_CHECKING:
    from alignlab.experiment.plan import Plan

QUESTION = 400
"""Characters of a typical question."""
UNKNOWN = "regular"
"""Category of rows whose category only the dataset's file says."""

CHARACTERS_A_TOKEN = 4
PUBLISHED = 300
"""Tokens of an answer whose arm's limit is not known."""
# Bytes in the store, compressed, as the finished demo has them (large stores pack tighter).
RESPONSE_TOKEN, SHIFT_TOKEN, ROW = 10, 260, 1000
ADAPTER_SHARE = 0.02
"""Weights of an adapter of rank 16 on all linear layers, as a share of the model's, rounded up."""


class Question(NamedTuple):
    """A row of a prompts table: its category, and the characters of each turn."""

    category: str
    turns: tuple[int, ...]


def questions(plan: Plan, artefact: Artefact) -> list[Question]:
    """What a table of prompts, mistakes or analysts' questions asks, at most.

    Exact for a table that the store holds. Else every row of the catalog's `rows` that the
    selection may keep, with questions of typical length; nothing for a dataset of unknown size.
    """
    if artefact.stage == "mistakes":
        parents = artefact.parent("prompts")
        return list(chain.from_iterable(questions(plan, parent) for parent in parents))
    if artefact.path.exists():
        rows = tables.rows("prompts", artefact.path)
        return [Question(r["category"], tuple(map(len, r["turns"]))) for r in rows]
    if artefact.stage == "prompts":
        return _selected(plan, PromptSetConfig.model_validate(artefact.slice["selection"]))
    # An analyst reads a question with an answer to it, in a text of about a question's length.
    of = artefact.parent("mistakes") or artefact.parent("prompts")
    found = chain.from_iterable(questions(plan, parent) for parent in of)
    return [Question(q.category, (q.turns[0] + 2 * QUESTION,)) for q in found]


def uncounted(plan: Plan) -> list[str]:
    """Datasets of which neither the store nor the catalog knows how many rows are asked."""
    asked = (a for a in plan if a.stage == "prompts" and not questions(plan, a))
    return sorted({artefact.name for artefact in asked})


def _selected(plan: Plan, chosen: PromptSetConfig) -> list[Question]:
    """Rows of the catalog that a selection keeps at most: `where` and `per` need the rows."""
    entry = plan.catalog.datasets[chosen.dataset]
    rows: Counter[str] = Counter(entry.rows or {})
    if not rows and chosen.take and chosen.per is None:
        rows[entry.category or UNKNOWN] = chosen.take
    kinds = sorted(rows.elements())
    wanted = len(chosen.ids) if chosen.ids else chosen.take if chosen.per is None else None
    # Evenly over the categories: a draw keeps their shares, about.
    kept = kinds if wanted is None or wanted >= len(kinds) else kinds[:: len(kinds) // wanted]
    turns = min(2 if entry.columns and entry.columns.turns else 1, chosen.turns or 2)
    return [Question(category, (QUESTION,) * turns) for category in kept[:wanted]]


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


@dataclass(frozen=True)
class Costing:
    """A plan with what past jobs say of the speed of its models."""

    plan: Plan
    rates: dict[Task, Rate] = field(default_factory=rates)

    def cost(self, artefact: Artefact) -> Cost:
        """What an artefact costs, whether or not the store holds it."""
        make = MAKERS.get(artefact.stage)
        return make(self, artefact) if make else Cost(artefact.stage, disk=ROW)

    def seconds(
        self, task: Task | None, units: int, model: str, guessed: float | None
    ) -> tuple[float | None, str]:
        """GPU seconds of `units` of a task's table, and what they are based on."""
        rate = self.rates.get(task) if task else None
        if rate:
            gpus = self.plan.catalog.models[self.plan.base_of(model)].gpus
            return gpus * units / rate.units, rate.device
        return guessed, "guess"

    def roofline(self, model: str, dtype: str, read: int, written: int, context: int) -> float:
        """GPU seconds by a roofline; 0 for a model whose size the catalog does not know."""
        entry = self.plan.catalog.models[self.plan.base_of(model)]
        batch = self.plan.experiment.runtime.batch_size
        return guess(
            entry.parameters or 0,
            BYTES[dtype],
            entry.kv_values or 0,
            read=read,
            written=written,
            context=context,
            batch=batch,
        )


def missing(plan: Plan) -> Iterator[Artefact]:
    """What the store lacks."""
    return (artefact for artefact in plan if not artefact.path.exists())


def answers(plan: Plan, responses: Artefact) -> tuple[int, int]:
    """Answers of a responses table, and their tokens: counted if the store holds it."""
    if responses.path.exists():
        counted = tables.opened("responses", responses.path).read(["num_tokens"])[0]
        return len(counted), pc.sum(counted).as_py() or 0
    asked = [q for parent in responses.parent("prompts") for q in questions(plan, parent)]
    decoding = responses.slice.get("decoding", {"samples": 1, "max_new_tokens": PUBLISHED})
    number = decoding["samples"] * sum(len(question.turns) for question in asked)
    return number, number * decoding["max_new_tokens"]


def prompt_tokens(plan: Plan, responses: Artefact) -> int:
    """Tokens that an arm sends: its constant text, the question, and what came before it."""
    decoding, method = responses.slice["decoding"], responses.slice["method"]
    constant, longest = constant_tokens(method), decoding["max_new_tokens"]
    sent = 0
    for parent in responses.parent("prompts"):
        for question in questions(plan, parent):
            before = 0
            for characters in question.turns:
                before += characters // CHARACTERS_A_TOKEN
                sent += constant + before
                before += longest
    return decoding["samples"] * sent


def constant_tokens(method: dict) -> int:
    """Tokens that a method puts before every question."""
    shown = [*method.get("examples", ()), *_retrieved(method)]
    texts = [text for example in shown for text in example.values()]
    texts += [method.get("system") or "", method.get("guidance") or ""]
    return sum(map(len, texts)) // CHARACTERS_A_TOKEN


def _retrieved(method: dict) -> list[dict[str, str]]:
    """Of a pool, the longest examples: which ones are retrieved depends on the question."""
    pool = method.get("pool", [])
    return sorted(pool, key=lambda example: -sum(map(len, example.values())))[: method.get("k", 0)]


def _model(costing: Costing, artefact: Artefact) -> Cost:
    entry = costing.plan.catalog.models[artefact.slice["id"]]
    if isinstance(entry.source, ApiModelConfig):
        return Cost("models")
    size = 4 if entry.role == "embedder" else 2
    return Cost("models", disk=size * (entry.parameters or 0))


def _responses(costing: Costing, artefact: Artefact) -> Cost:
    plan = costing.plan
    number, written = answers(plan, artefact)
    if "decoding" not in artefact.slice:
        return Cost("responses", disk=written * RESPONSE_TOKEN)
    model, read = artefact.slice["model"], prompt_tokens(plan, artefact)
    # Beside the answers lie, until the arm is gathered, its parts and its finished batches.
    disk = 3 * (written * RESPONSE_TOKEN + number * ROW)
    source = plan.catalog.models[plan.base_of(model)].source
    if isinstance(source, ApiModelConfig):
        usd = dollars(source.price, read, written)
        return Cost("responses", read, written, usd=usd, disk=disk)
    engine = artefact.slice["engine"]
    context = (read + written // 2) // max(number, 1)
    guessed = costing.roofline(model, engine["dtype"], read, written, context)
    task = task_of("responses", artefact.slice)
    seconds = costing.seconds(task, written, model, 0.0 if engine["name"] == "fake" else guessed)
    return Cost("responses", read, written, *seconds, disk=disk)


def dollars(price: PriceConfig | None, read: int, written: int) -> float | None:
    """What tokens cost; null without a price."""
    return (read * price.prompt + written * price.completion) / 10**6 if price else None


def _shift(costing: Costing, artefact: Artefact) -> Cost:
    plan, spec = costing.plan, artefact.slice
    responses = artefact.parent("responses")[0]
    number, scored = answers(plan, responses)
    read = 0
    for side in SIDES:
        method = spec[side].get("method") or responses.slice.get("method", {})
        before = number * (constant_tokens(method) + QUESTION // CHARACTERS_A_TOKEN)
        read += before + scored
    model = spec["base"]["model"]  # the aligned one is as large
    guessed = costing.roofline(model, spec["engine"]["dtype"], read, 0, 0)
    seconds = costing.seconds(task_of("token_shift", spec), scored, model, guessed)
    return Cost("shift", read, 0, *seconds, disk=scored * SHIFT_TOKEN)


def _adapter(costing: Costing, artefact: Artefact) -> Cost:
    plan, spec = costing.plan, artefact.slice
    trainset = artefact.parent("trainset")[0]
    parents = [*trainset.parent("answers"), *trainset.parent("mistakes")]
    learnt = sum(len(questions(plan, parent)) for parent in parents)
    if trainset.path.exists():
        learnt = tables.opened("trainset", trainset.path).metadata.num_rows
    read = spec["epochs"] * learnt * (QUESTION // CHARACTERS_A_TOKEN + PUBLISHED)
    written = TRAINERS[spec["trainer"]].sampled(spec)
    # Forward, backward and the forward of layers made again: 6 operations a weight, not 2.
    engine = spec["engine"]["dtype"]
    guessed = costing.roofline(spec["base"], engine, 3 * (read + written), written, QUESTION)
    seconds = costing.seconds(task_of("training", spec), read + written, spec["base"], guessed)
    weights = ADAPTER_SHARE * (plan.catalog.models[spec["base"]].parameters or 0)
    # In float32, beside a checkpoint with two moments of each weight.
    return Cost("adapters", read, written, *seconds, disk=int(4 * 4 * weights))


MAKERS: dict[str, Callable[[Costing, Artefact], Cost]] = {
    "models": _model,
    "responses": _responses,
    "shift": _shift,
    "adapters": _adapter,
}
"""Stage → what its artefacts cost, where it is more than a small table."""
