"""The artefacts of arms: answers, their metrics, and checks of the engine that gave them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alignlab.answering.config import AskedConfig
from alignlab.core.config import dump
from alignlab.core.errors import AlignlabError
from alignlab.endpoints.config import RUNTIME
from alignlab.engines.config import VLLM_RANKS, DecodingConfig, engine_unit, vllm_cache_bytes
from alignlab.planning.artefact import Artefact, Progress, Stage
from alignlab.planning.forecast import (
    CHARACTERS_A_TOKEN,
    PROMPT_TOKENS,
    RESPONSE_TOKEN,
    ROW,
    Cost,
    ModelSize,
    Need,
    RuntimeConfig,
    Speeds,
    Task,
    need,
    need_of_calls,
)
from alignlab.planning.versions import Unit
from alignlab.prompting.config import METHODS
from alignlab.prompting.prompt_files import constant_tokens
from alignlab.sources.stages import UsedModel, answers_of

# What it says of artefacts is in the specs.
CHANGES_NO_VALUE = True

EXAMPLE_TOKENS = 512
"""Tokens of an example that retrieval puts before a question."""


def responses(
    name: str,
    asked: AskedConfig,
    model: UsedModel,
    prompts: Sequence[Artefact],
    *,
    decoding: DecodingConfig,
    seed: int,
    embedder: Artefact | None,
) -> Artefact:
    """A model's answers to prompts tables.

    Args:
        name: of the arm, or of the step of LfM that asks.
        asked: its model, method and decoding.
        model: the same model, as the catalog knows it.
        prompts: what is asked, in order.
        decoding: of those who do not say.
        seed: of sampled answers.
        embedder: of retrieval; None for other methods.

    Raises:
        AlignlabError: vLLM does not decode as the experiment says, has no kernels for the rank of
            the model's adapter, or is given a cache of no size.
    """
    decoding = asked.decoding or decoding
    if model.engine.name == "vllm":
        vllm_cache_bytes()  # refused here, and not when a job asks for its memory
        _check_penalty(name, decoding)
        _check_rank(name, model)
    spec: dict[str, Any] = {
        "arm": name,
        "model": asked.model,
        "method": asked.method.resolved(),
        "decoding": dump(decoding),
        "engine": dump(model.engine),
    }
    if decoding.temperature:
        spec["seed"] = seed
    parents = {**model.artefacts, **({"embedder": embedder} if embedder else {})}
    units = (asked.method.unit, engine_unit(model.engine.name))
    place = _runtime(asked, model)
    return Artefact(
        RESPONSES, name, spec, {**parents, "prompts": prompts}, place, units, facts=model.size
    )


def _runtime(asked: AskedConfig, model: UsedModel) -> dict[str, Any]:
    """What asking an endpoint needs that changes no answer; nothing for other models."""
    if model.endpoint is None:
        return {}
    told = model.endpoint.model_dump(mode="json", include=RUNTIME)
    return {"runtime": {**told, "max_usd": asked.max_usd}}


def _check_penalty(arm: str, decoding: DecodingConfig) -> None:
    if decoding.repetition_penalty != 1 and not decoding.penalize_prompt:
        raise AlignlabError(
            f"{arm}: decoding.penalize_prompt: vLLM's repetition penalty counts prompt tokens; "
            "set it to true, or let transformers run the model"
        )


def _check_rank(arm: str, model: UsedModel) -> None:
    if "adapter" not in model.artefacts:
        return
    rank, most = model.artefacts["adapter"].slice["lora"]["rank"], max(VLLM_RANKS)
    if rank > most:
        raise AlignlabError(
            f"{arm}: {model.name}: lora.rank: vLLM runs adapters of rank {most} at most, and this "
            f"one has {rank}; lower it, or let transformers run the model"
        )


def _engine_checks(made: Sequence[Artefact]) -> list[Artefact]:
    """Checks of vLLM against transformers: one a model that it runs, on the model's first arm.

    Models that are spread over several GPUs are left out: transformers would need one that holds
    them whole.
    """
    first: dict[str, Artefact] = {}
    for answers in made:
        by_vllm = answers.kind is RESPONSES and answers.slice["engine"]["name"] == "vllm"
        if by_vllm and answers.facts.gpus == 1:
            first.setdefault(answers.slice["model"], answers)
    return [_engine_check(model, answers) for model, answers in first.items()]


def _engine_check(model: str, answers: Artefact) -> Artefact:
    spec = {key: answers.slice[key] for key in ("model", "method", "engine")}
    units = (METHODS[spec["method"]["kind"]].unit,)
    return Artefact(ENGINE_CHECKS, model, spec, answers.parents, units=units, facts=answers.facts)


def metrics(
    arm: str, responses: Artefact, prompts: Sequence[Artefact], embedder: Artefact | None
) -> Artefact:
    """Measures of an arm's answers that need no judge."""
    parents: dict[str, Any] = {"responses": responses, "prompts": prompts}
    if embedder:
        parents["embedder"] = embedder
    return Artefact(METRICS, arm, {"arm": arm}, parents)


def prompt_tokens(responses: Artefact) -> int:
    """Tokens that an arm sends: its constant text, the question, and what came before it."""
    decoding, method = responses.slice["decoding"], responses.slice["method"]
    constant, longest = constant_tokens(method), decoding["max_new_tokens"]
    sent = 0
    for parent in responses.parent("prompts"):
        for question in parent.questions():
            before = 0
            for characters in question.turns:
                before += characters // CHARACTERS_A_TOKEN
                sent += constant + before
                before += longest
    return decoding["samples"] * sent


def _needs(artefact: Artefact, runtime: RuntimeConfig, attempt: int) -> Need:
    """The fake engine and models behind an endpoint need no GPU."""
    spec, size = artefact.slice, artefact.facts
    engine, method = spec["engine"], spec["method"]
    if engine["name"] in ("openai", "fake"):
        return need_of_calls(attempt)
    examples = EXAMPLE_TOKENS * method["k"] if method["kind"] == "retrieval" else 0
    tokens = PROMPT_TOKENS + examples + spec["decoding"]["max_new_tokens"]
    held = size.cache(engine["dtype"], runtime.batch_size * tokens)
    weights = [size.weights(engine["dtype"])]
    if engine["name"] != "vllm":
        return need(weights, held, attempt=attempt)
    return need(weights, held, size.gpus, attempt, vllm_cache_bytes())


def _needs_of_check(artefact: Artefact, runtime: RuntimeConfig, attempt: int) -> Need:
    """One engine after the other holds the model, on one GPU."""
    size, dtype = artefact.facts, artefact.slice["engine"]["dtype"]
    held = size.cache(dtype, runtime.batch_size * PROMPT_TOKENS)
    return need([size.weights(dtype)], held, attempt=attempt, cache=vllm_cache_bytes())


def _cost(artefact: Artefact, speeds: Speeds) -> Cost:
    number, written = answers_of(artefact)
    spec, read = artefact.slice, prompt_tokens(artefact)
    # Beside the answers lie, until the arm is gathered, its parts and its finished batches.
    disk = 3 * (written * RESPONSE_TOKEN + number * ROW)
    if artefact.runtime:
        usd = _dollars(artefact.runtime["price"], read, written)
        return Cost(artefact.stage, read, written, usd=usd, disk=disk)
    size: ModelSize = artefact.facts
    context = (read + written // 2) // max(number, 1)
    guessed = speeds.roofline(
        size, spec["engine"]["dtype"], read=read, written=written, context=context
    )
    if spec["engine"]["name"] == "fake":
        guessed = 0.0
    seconds = speeds.seconds(_task(spec), written, size.gpus, guessed)
    return Cost(artefact.stage, read, written, *seconds, disk=disk)


def _dollars(price: dict[str, float] | None, read: int, written: int) -> float | None:
    return (read * price["prompt"] + written * price["completion"]) / 10**6 if price else None


def _task(spec: dict[str, Any]) -> Task | None:
    engine = spec.get("engine", {})
    if "dtype" not in engine:
        return None
    return Task("responses", spec["model"], engine["name"], engine["dtype"])


RESPONSES = Stage(
    name="responses",
    table="responses",
    units=(Unit("responses", "alignlab.answering.generate"),),
    needs=_needs,
    cost=_cost,
    progress=Progress(_task, column="num_tokens"),
)
ENGINE_CHECKS = Stage(
    name="engine_checks",
    table="engine_checks",
    units=(Unit("engine check", "alignlab.answering.engine_check"), engine_unit("vllm")),
    needs=_needs_of_check,
    added=_engine_checks,
)
METRICS = Stage(
    name="metrics",
    table="metrics",
    units=(Unit("metrics", "alignlab.metrics.measure"),),
)
STAGES = (RESPONSES, ENGINE_CHECKS, METRICS)
