"""How each entry of an experiment becomes an artefact: its semantic slice and its parents.

    alignlab check demo                         # print the artefacts that these functions give

A function per stage; `Plan` calls it once per entry. What learning from mistakes adds is in
`making_lessons`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from alignlab.errors import AlignlabError
from alignlab.experiment.artefact import Artefact, replies_of
from alignlab.experiment.decoding import Decoding
from alignlab.experiment.endpoints import RUNTIME
from alignlab.experiment.learning import Asked
from alignlab.experiment.methods import AnyMethod, Retrieval, unit_of
from alignlab.experiment.schema import Pair, Published
from alignlab.experiment.selection import PromptSet
from alignlab.experiment.specs import coded, content, dump, place, resolved_method

if TYPE_CHECKING:
    from alignlab.experiment.plan import Plan

SIDES = ("base", "aligned")
Parents = dict[str, Artefact | Sequence[Artefact]]


def model(plan: Plan, name: str) -> Artefact:
    """Weights and tokenizer of a catalog model."""
    entry = plan.catalog.models[name]
    described = dump(entry, {"role", "chat_template"})
    spec = {"id": name, **described, **content(entry.source, plan.catalog)}
    signed = coded(spec, "models")
    return Artefact("models", name, signed, place=place(entry.source, plan.catalog))


def prompts(plan: Plan, chosen: PromptSet) -> Artefact:
    """The chosen rows of a dataset."""
    entry = plan.catalog.datasets[chosen.dataset]
    spec = {
        "dataset": chosen.dataset,
        **dump(entry, {"columns", "category"}),
        **content(entry.source, plan.catalog),
        "selection": dump(chosen),
    }
    signed = coded(spec, "prompts")
    return Artefact("prompts", chosen.dataset, signed, place=place(entry.source, plan.catalog))


def responses(plan: Plan, name: str, asked: Asked, asks: Sequence[Artefact]) -> Artefact:
    """A model's answers to prompts tables."""
    decoding = asked.decoding or plan.experiment.decoding
    engine = plan.engine_of(asked.model)
    _check_penalty(plan, name, decoding, engine.name)
    spec: dict[str, Any] = {
        "arm": name,
        "model": asked.model,
        "method": resolved_method(asked.method),
        "decoding": dump(decoding),
        "engine": dump(engine),
    }
    if decoding.temperature:
        spec["seed"] = plan.experiment.seed
    units = ("responses", asked.method.unit, f"engine {engine.name}")
    parents: Parents = {**weights(plan, asked.model), **embedder(plan, asked.method)}
    signed = coded(spec, *units)
    besides = runtime(plan, name, asked)
    return Artefact("responses", name, signed, {**parents, "prompts": asks}, besides)


def runtime(plan: Plan, name: str, asked: Asked) -> dict[str, Any]:
    """What asking an endpoint needs that changes no answer; nothing for other models."""
    endpoint = plan.endpoint_of(asked.model)
    if endpoint is None:
        return {}
    replies = str(replies_of("responses", name))
    told = endpoint.model_dump(mode="json", include=RUNTIME)
    return {"runtime": {**told, "max_usd": asked.max_usd, "replies": replies}}


def _check_penalty(plan: Plan, arm: str, decoding: Decoding, engine: str) -> None:
    spares = decoding.repetition_penalty != 1 and not decoding.penalize_prompt
    if engine == "vllm" and spares:
        raise AlignlabError(
            f"{plan.path}: {arm}: decoding.penalize_prompt: vLLM's repetition penalty counts "
            "prompt tokens; set it to true, or let transformers run the model"
        )


def engine_checks(plan: Plan, made: Sequence[Artefact]) -> list[Artefact]:
    """Checks of vLLM against transformers: one a model that it runs, on the model's first arm.

    Models that are spread over several GPUs are left out: transformers would need one that holds
    them whole.
    """
    first: dict[str, Artefact] = {}
    for answers in made:
        engine = answers.slice.get("engine", {}).get("name")
        if answers.stage != "responses" or engine != "vllm":
            continue
        if plan.catalog.models[plan.base_of(answers.slice["model"])].gpus == 1:
            first.setdefault(answers.slice["model"], answers)
    checks = []
    for model, answers in first.items():
        spec = {key: answers.slice[key] for key in ("model", "method", "engine")}
        units = ("engine check", "engine vllm", unit_of(spec["method"]["kind"]))
        checks.append(Artefact("engine_checks", model, coded(spec, *units), answers.parents))
    return checks


def published(plan: Plan, entry: Published) -> Artefact:
    """Answers that somebody else generated."""
    source = plan.catalog.published[entry.responses]
    spec = {"arm": entry.name, **dump(source, {"model"}), **content(source.source, plan.catalog)}
    signed = coded(spec, "published responses")
    parents: Parents = {"prompts": plan.prompts}
    return Artefact("responses", entry.name, signed, parents, place(source.source, plan.catalog))


def metrics(plan: Plan, arm: str) -> Artefact:
    """Measures of an arm's answers that need no judge."""
    parents: Parents = {"responses": plan.arm(arm), "prompts": plan.prompts}
    if plan.experiment.embedder:
        parents["embedder"] = plan.model(plan.experiment.embedder)
    return Artefact("metrics", arm, coded({"arm": arm}, "metrics"), parents)


def shift(plan: Plan, pair: Pair) -> Artefact:
    """A pair's token shift."""
    is_published = pair.aligned in {arm.name for arm in plan.experiment.published}
    asked = [p for p in plan.prompts if pair.datasets is None or p.name in pair.datasets]
    parents: Parents = {"responses": plan.arm(pair.aligned), "prompts": asked}
    spec: dict[str, Any] = {"pair": pair.name, "template": pair.template}
    units = ["shift"]
    for side in SIDES:
        name, method = plan.asked(getattr(pair, side))
        spec[side] = {"model": name}
        loaded = weights(plan, name)
        # Answers that were generated here come with their prompts.
        if method and (side == "base" or is_published):
            spec[side]["method"] = resolved_method(method)
            units.append(method.unit)
            loaded |= embedder(plan, method)
        parents |= {f"{side}_{role}": parent for role, parent in loaded.items()}
    spec["aligned"]["arm"] = pair.aligned
    spec["engine"] = dump(plan.experiment.engine, {"dtype"})
    return Artefact("shift", pair.name, coded(spec, *units), parents)


def weights(plan: Plan, name: str) -> dict[str, Artefact]:
    """What a job loads to run a model: its folder, and the adapter of a tuned one.

    Nothing for a model behind an endpoint.
    """
    if plan.endpoint_of(name):
        return {}
    tuned = {entry.name for entry in plan.experiment.tuned}
    adapter = {"adapter": plan.entry("tuned", name)} if name in tuned else {}
    return {"model": plan.model(plan.base_of(name)), **adapter}


def embedder(plan: Plan, method: AnyMethod) -> dict[str, Artefact]:
    """The embedding model behind retrieval; nothing for other methods."""
    return {"embedder": plan.model(method.embedder)} if isinstance(method, Retrieval) else {}
