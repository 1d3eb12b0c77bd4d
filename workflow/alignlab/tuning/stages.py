"""The artefacts of tuning: adapters of catalog models."""

from __future__ import annotations

from typing import Any

from alignlab.core.config import dump
from alignlab.core.errors import AlignlabError
from alignlab.planning.artefact import Artefact, Progress, Stage
from alignlab.planning.forecast import (
    CHARACTERS_A_TOKEN,
    QUESTION,
    UNKNOWN_ANSWER,
    Cost,
    Need,
    RuntimeConfig,
    Speeds,
    Task,
    need,
)
from alignlab.planning.versions import Unit
from alignlab.prompting import prompt_files
from alignlab.sources.stages import UsedModel
from alignlab.tuning.config import TRAINERS, TunedConfig

# What it says of artefacts is in the specs.
CHANGES_NO_VALUE = True

ADAPTER_SHARE = 0.02
"""Weights of an adapter of rank 16 on all linear layers, as a share of the model's, rounded up."""
# What a trained token leaves on a GPU, in numbers of the cache, which has 2 a layer and hidden
# unit: 1, the input that every layer keeps, and about as much for the one layer that is computed
# anew, 17 a hidden unit (Korthikanti et al. 2022, arXiv 2205.05198, §4.1 and §5).
ACTIVATIONS = 1


def adapter(
    entry: TunedConfig, base: UsedModel, trainset: Artefact, *, dtype: str, seed: int
) -> Artefact:
    """A model's low-rank update, learnt from a training set; its fact is the base's size.

    Raises:
        AlignlabError: the dtype is float16, in which small gradients become zero.
    """
    if dtype == "float16":
        raise AlignlabError(
            f"{entry.name}: adapters are not tuned in float16, in which small gradients become "
            "zero: set `engine.dtype` to bfloat16 or float32"
        )
    spec: dict[str, Any] = {
        **dump(entry),
        "method": entry.method.resolved(),
        "engine": {"dtype": dtype},
        "seed": seed,
    }
    if entry.chat_template:
        spec["chat_template"] = prompt_files.chat_template(entry.chat_template)
    units = (entry.method.unit, TRAINERS[entry.trainer].unit)
    parents = {"model": base.artefacts["model"], "trainset": trainset}
    return Artefact(ADAPTERS, entry.name, spec, parents, units=units, facts=base.size)


def _needs(artefact: Artefact, runtime: RuntimeConfig, attempt: int) -> Need:
    spec, size = artefact.slice, artefact.facts
    dtype = spec["engine"]["dtype"]
    weights, trainer = [size.weights(dtype)], TRAINERS[spec["trainer"]]
    if trainer.rewards:
        weights.append(size.weights("float32"))
    tokens = spec["batch_size"] * trainer.answers(spec) * spec["max_length"]
    return need(weights, ACTIVATIONS * size.cache(dtype, tokens), attempt=attempt)


def _cost(artefact: Artefact, speeds: Speeds) -> Cost:
    spec, size = artefact.slice, artefact.facts
    trainset = artefact.parent("trainset")[0]
    an_example = QUESTION // CHARACTERS_A_TOKEN + UNKNOWN_ANSWER
    read = spec["epochs"] * _examples(trainset) * an_example
    written = TRAINERS[spec["trainer"]].sampled(spec)
    # Forward, backward and the forward of layers made again: 6 operations a weight, not 2.
    guessed = speeds.roofline(
        size,
        spec["engine"]["dtype"],
        read=3 * (read + written),
        written=written,
        context=QUESTION,
    )
    seconds = speeds.seconds(_task(spec), read + written, size.gpus, guessed)
    # In float32, beside a checkpoint with two moments of each weight.
    disk = int(4 * 4 * ADAPTER_SHARE * size.parameters)
    return Cost(artefact.stage, read, written, *seconds, disk=disk)


def _examples(trainset: Artefact) -> int:
    """Examples of a training set, counted if the store holds it."""
    if trainset.path.exists():
        from alignlab.core import tables

        return tables.opened("trainset", trainset.path).metadata.num_rows
    parents = [*trainset.parent("answers"), *trainset.parent("mistakes")]
    return sum(len(parent.questions()) for parent in parents)


def _task(spec: dict[str, Any]) -> Task | None:
    name = f"{spec['base']} {spec['trainer']}"
    return Task("training", name, "transformers", spec["engine"]["dtype"])


ADAPTERS = Stage(
    name="adapters",
    table=None,
    units=(Unit("tuning", "alignlab.tuning.fit"),),
    needs=_needs,
    cost=_cost,
    progress=Progress(_task, table="training.parquet"),
)
STAGES = (ADAPTERS,)
