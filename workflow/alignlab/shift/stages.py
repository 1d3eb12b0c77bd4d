"""The artefacts of token shift: one model's answers scored by two, and their statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignlab.core.config import dump
from alignlab.planning.artefact import Artefact, Progress, Stage
from alignlab.planning.forecast import (
    CHARACTERS_A_TOKEN,
    QUESTION,
    SHIFT_TOKEN,
    Cost,
    ModelSize,
    Need,
    RuntimeConfig,
    Speeds,
    Task,
    need,
)
from alignlab.planning.versions import Unit
from alignlab.prompting.config import AnyMethod
from alignlab.prompting.prompt_files import constant_tokens
from alignlab.shift import BATCH_TOKENS
from alignlab.shift.config import PairConfig
from alignlab.sources.stages import UsedModel, answers_of

# What it says of artefacts is in the specs.
CHANGES_NO_VALUE = True

SIDES = ("base", "aligned")
TABLES_BESIDE = (
    *("shift_curves", "shifted_tokens", "shift_categories", "shift_confidence"),
    "shift_comparisons",
)
"""Tables of statistics beside `shift_statistics`."""


@dataclass(frozen=True)
class Side:
    """One of the two models of a pair.

    Attributes:
        model: of the catalog, or tuned here.
        method: how it is asked; None where answers bring their prompts with them.
        embedder: of retrieval; None for other methods.
    """

    model: UsedModel
    method: AnyMethod | None = None
    embedder: Artefact | None = None

    def spec(self) -> dict[str, Any]:
        """What a slice says of it."""
        method = {"method": self.method.resolved()} if self.method else {}
        return {"model": self.model.name, **method}

    def artefacts(self) -> dict[str, Artefact]:
        """What a job loads, by role."""
        embedder = {"embedder": self.embedder} if self.embedder else {}
        return {**self.model.artefacts, **embedder}


def shift(
    pair: PairConfig,
    responses: Artefact,
    prompts: Sequence[Artefact],
    sides: Mapping[str, Side],
    dtype: str,
) -> Artefact:
    """A pair's token shift; its facts are the sizes of base and aligned model.

    Args:
        pair: of the experiment.
        responses: answers of the aligned arm.
        prompts: those whose answers are scored.
        sides: `base` and `aligned`.
        dtype: of computing.
    """
    spec: dict[str, Any] = {"pair": pair.name, "template": pair.template}
    spec |= {name: side.spec() for name, side in sides.items()}
    spec["aligned"]["arm"] = pair.aligned
    spec["engine"] = {"dtype": dtype}
    parents: dict[str, Any] = {"responses": responses, "prompts": prompts}
    for name, side in sides.items():
        parents |= {f"{name}_{role}": parent for role, parent in side.artefacts().items()}
    units = tuple(side.method.unit for side in sides.values() if side.method)
    sizes = tuple(side.model.size for side in sides.values())
    return Artefact(SHIFT, pair.name, spec, parents, units=units, facts=sizes)


def statistics(
    experiment: str,
    cards: Sequence[Mapping[str, Any]],
    shifts: Mapping[str, Artefact],
    prompts: Sequence[Artefact],
    seed: int,
    home: Path,
) -> Artefact:
    """Statistics of every pair.

    Args:
        experiment: its name.
        cards: what statistics and the report say about each pair.
        shifts: token-shift tables, by pair.
        prompts: every prompts table.
        seed: of bootstraps.
        home: the folder of the experiment's tables.
    """
    spec = {"experiment": experiment, "pairs": list(cards), "seed": seed}
    return Artefact(
        SHIFT_STATISTICS, experiment, spec, {"shifts": shifts, "prompts": prompts}, home=home
    )


def card(pair: PairConfig, models: Mapping[str, str], decoding: Any) -> dict[str, Any]:
    """What statistics and the report say about a pair.

    Args:
        pair: of the experiment.
        models: name of the model of each side.
        decoding: of the aligned arm, where it is generated here.
    """
    named = {f"{side}_model": models[side] for side in SIDES}
    return {**dump(pair), **named, "decoding": dump(decoding) if decoding else None}


def _needs(artefact: Artefact, runtime: RuntimeConfig, attempt: int) -> Need:
    dtype = artefact.slice["engine"]["dtype"]
    sizes: tuple[ModelSize, ...] = artefact.facts
    held = max(size.cache(dtype, BATCH_TOKENS) for size in sizes)
    weights = [size.weights(dtype) for size in sizes]
    return need(weights if runtime.models_together else [max(weights)], held, attempt=attempt)


def _cost(artefact: Artefact, speeds: Speeds) -> Cost:
    spec = artefact.slice
    responses = artefact.parent("responses")[0]
    number, scored = answers_of(responses)
    read = 0
    for side in SIDES:
        method = spec[side].get("method") or responses.slice.get("method", {})
        read += number * (constant_tokens(method) + QUESTION // CHARACTERS_A_TOKEN) + scored
    size: ModelSize = artefact.facts[0]  # the aligned one is as large
    guessed = speeds.roofline(size, spec["engine"]["dtype"], read=read)
    seconds = speeds.seconds(_task(spec), scored, size.gpus, guessed)
    return Cost(artefact.stage, read, 0, *seconds, disk=scored * SHIFT_TOKEN)


def _task(spec: dict[str, Any]) -> Task | None:
    names = " ".join(spec[side]["model"] for side in SIDES)
    return Task("token_shift", names, "transformers", spec["engine"]["dtype"])


SHIFT = Stage(
    name="shift",
    table="token_shift",
    units=(Unit("shift", "alignlab.shift.score"),),
    needs=_needs,
    cost=_cost,
    progress=Progress(_task),
)
SHIFT_STATISTICS = Stage(
    name="shift_statistics",
    table="shift_statistics",
    beside=lambda artefact: TABLES_BESIDE,
    units=(Unit("shift statistics", "alignlab.shift.summarise"),),
)
STAGES = (SHIFT,)
