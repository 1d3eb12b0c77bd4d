"""From a study to its artefacts: what exists once, under which name, made from what.

    alignlab check demo                         # print the plan and its job counts

An artefact's name ends in a digest of its semantic slice and of its parents' digests, so a changed
value gives a new name and an unchanged one is never computed again, in whichever experiment.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from alignlab.errors import AlignlabError
from alignlab.experiment import texts
from alignlab.experiment.artefact import RESULTS, Artefact, Jobs
from alignlab.experiment.load import Study
from alignlab.experiment.methods import Retrieval
from alignlab.experiment.schema import Arm, Pair, PromptSet
from alignlab.experiment.specs import coded, content, dump, place, resolved_method
from alignlab.experiment.tuning import Tuned

SIDES = ("base", "aligned")
STAGES = ("models", "prompts", "adapters", "responses", "metrics", "shift")


class Plan:
    """Every artefact of a study, by stage and name."""

    def __init__(self, study: Study) -> None:
        self.study, self.experiment, self.catalog = study, study.experiment, study.catalog

    @cached_property
    def prompts(self) -> list[Artefact]:
        """Prompts tables, in the order of the experiment."""
        return [self._prompts(chosen) for chosen in self.experiment.prompts]

    @cached_property
    def models(self) -> dict[str, Artefact]:
        """Models of all arms and adapters, and the embedding models they or the metrics need."""
        names = [self.base_of(arm.model) for arm in self.experiment.arms]
        asked = [arm.method for arm in self.experiment.arms]
        asked += [arm.method for arm in self.experiment.published if arm.method]
        names += [method.embedder for method in asked if isinstance(method, Retrieval)]
        names += [self.experiment.embedder] if self.experiment.embedder else []
        names += [entry.base for entry in self.experiment.tuned]
        names += [self.asked(pair.aligned)[0] for pair in self.experiment.pairs]
        # A pair may name a tuned model, whose base is in the list already.
        known = [name for name in dict.fromkeys(names) if name in self.catalog.models]
        return {name: self._model(name) for name in known}

    @cached_property
    def adapters(self) -> dict[str, Artefact]:
        """Adapters of the models that the experiment tunes itself."""
        return {entry.name: self._adapter(entry) for entry in self.experiment.tuned}

    def base_of(self, model: str) -> str:
        """The catalog model whose weights a model has, which for a tuned one are its base's."""
        return next((t.base for t in self.experiment.tuned if t.name == model), model)

    @cached_property
    def responses(self) -> dict[str, Artefact]:
        """Responses tables by arm; published arms last."""
        generated = {arm.name: self._responses(arm) for arm in self.experiment.arms}
        return generated | {p.name: self._published(p) for p in self.experiment.published}

    @cached_property
    def metrics(self) -> dict[str, Artefact]:
        """Metrics tables by arm."""
        return {name: self._metrics(name) for name in self.responses}

    @cached_property
    def shifts(self) -> dict[str, Artefact]:
        """Token-shift tables by pair."""
        return {pair.name: self._shift(pair) for pair in self.experiment.pairs}

    @property
    def scored(self) -> dict[str, Artefact]:
        """Responses tables that pairs score, by arm."""
        return {pair.aligned: self.responses[pair.aligned] for pair in self.experiment.pairs}

    def tokenizer_of(self, model: str) -> Path:
        """Folder of a model's tokenizer; a tuned one's may have another chat template."""
        return self.adapters[model].path if model in self.adapters else self.models[model].path

    def __iter__(self) -> Iterator[Artefact]:
        """Every artefact, in the order the data walks through them."""
        yield from self.models.values()
        yield from self.prompts
        yield from self.adapters.values()
        yield from self.responses.values()
        yield from self.metrics.values()
        yield from self.shifts.values()

    @cached_property
    def _by_key(self) -> dict[tuple[str, str], Artefact]:
        return {(artefact.stage, artefact.key): artefact for artefact in self}

    def find(self, stage: str, key: str) -> Artefact:
        """The artefact with this key.

        Raises:
            AlignlabError: the experiment has none, for example because it changed meanwhile.
        """
        try:
            return self._by_key[stage, key]
        except KeyError:
            raise AlignlabError(f"{self.study.path} plans no {stage}/{key}") from None

    def job_counts(self) -> dict[str, Jobs]:
        """Jobs by stage, and how many of them the store already answers."""
        per_arm = {a.name: self.experiment.runtime.jobs_per_arm for a in self.experiment.arms}
        counts = {}
        for stage in STAGES:
            found = [artefact for artefact in self if artefact.stage == stage]
            cut = stage == "responses"
            cost = [(per_arm.get(a.name, 1) if cut else 1, a.path.exists()) for a in found]
            counts[stage] = Jobs(sum(n for n, _ in cost), sum(n for n, done in cost if done))
        return counts

    @property
    def folder(self) -> Path:
        """Where the experiment's own tables, figures and report go."""
        return RESULTS / self.experiment.name

    def _model(self, name: str) -> Artefact:
        entry = self.catalog.models[name]
        spec = {"id": name, **dump(entry, {"role", "chat_template"}), **content(entry.source)}
        signed = coded(spec, "alignlab.sources.models")
        return Artefact("models", name, signed, place(entry.source))

    def _prompts(self, chosen: PromptSet) -> Artefact:
        entry = self.catalog.datasets[chosen.dataset]
        spec = {
            "dataset": chosen.dataset,
            **dump(entry, {"columns", "category"}),
            **content(entry.source),
            "selection": dump(chosen),
        }
        signed = coded(spec, "alignlab.sources.datasets")
        return Artefact("prompts", chosen.dataset, signed, place(entry.source))

    def _responses(self, arm: Arm) -> Artefact:
        decoding = arm.decoding or self.experiment.decoding
        parents = self._weights(arm.model)
        parents["prompts"] = [prompts.digest for prompts in self.prompts]
        if isinstance(arm.method, Retrieval):
            parents["embedder"] = self.models[arm.method.embedder].digest
        spec: dict[str, Any] = {
            "arm": arm.name,
            "model": arm.model,
            "method": resolved_method(arm.method),
            "decoding": dump(decoding),
            "engine": dump(self.experiment.engine),
            "parents": parents,
        }
        if decoding.temperature:
            spec["seed"] = self.experiment.seed
        modules = (arm.method.module, f"alignlab.engines.{self.experiment.engine.name}")
        return Artefact("responses", arm.name, coded(spec, "alignlab.generate", *modules))

    def _weights(self, model: str) -> dict[str, Any]:
        """Digests of a model's weights, as parents of what it makes."""
        digests: dict[str, Any] = {"model": self.models[self.base_of(model)].digest}
        if model in self.adapters:
            digests["adapter"] = self.adapters[model].digest
        return digests

    def _adapter(self, entry: Tuned) -> Artefact:
        spec: dict[str, Any] = {
            **dump(entry),
            "examples": texts.training_examples(entry.examples, entry.take, self.experiment.seed),
            "method": resolved_method(entry.method),
            "engine": dump(self.experiment.engine),
            "seed": self.experiment.seed,
            "parents": {"model": self.models[entry.base].digest},
        }
        if entry.chat_template:
            spec["chat_template"] = texts.chat_template(entry.chat_template)
        signed = coded(spec, "alignlab.tuning.finetune", entry.method.module)
        return Artefact("adapters", entry.name, signed)

    def asked(self, arm: str) -> tuple[str, Any]:
        """Model and method of an arm; the method of a published one may be unknown."""
        for generated in self.experiment.arms:
            if generated.name == arm:
                return generated.model, generated.method
        published = next(p for p in self.experiment.published if p.name == arm)
        return self.catalog.published[published.responses].model, published.method

    def _shift(self, pair: Pair) -> Artefact:
        parents: dict[str, Any] = {
            "responses": self.responses[pair.aligned].digest,
            "prompts": [prompts.digest for prompts in self.prompts],
        }
        published = pair.aligned in {arm.name for arm in self.experiment.published}
        spec: dict[str, Any] = {"pair": pair.name, "template": pair.template}
        modules = ["alignlab.shift.score"]
        for side in SIDES:
            model, method = self.asked(getattr(pair, side))
            spec[side] = {"model": model}
            parents[side] = self._weights(model)
            # Answers that were generated here come with their prompts.
            if method and (side == "base" or published):
                spec[side]["method"] = resolved_method(method)
                modules.append(method.module)
                if isinstance(method, Retrieval):
                    parents[side]["embedder"] = self.models[method.embedder].digest
        spec["aligned"]["arm"] = pair.aligned
        spec |= {"retokenise": published, "engine": dump(self.experiment.engine)}
        return Artefact("shift", pair.name, coded({**spec, "parents": parents}, *modules))

    def _published(self, published: Any) -> Artefact:
        entry = self.catalog.published[published.responses]
        spec = {
            "arm": published.name,
            **dump(entry, {"model"}),
            **content(entry.source),
            "parents": {"prompts": [prompts.digest for prompts in self.prompts]},
        }
        signed = coded(spec, "alignlab.sources.published")
        return Artefact("responses", published.name, signed, place(entry.source))

    def _metrics(self, arm: str) -> Artefact:
        parents: dict[str, Any] = {"responses": self.responses[arm].digest}
        if self.experiment.embedder:
            parents["embedder"] = self.models[self.experiment.embedder].digest
        spec = coded({"arm": arm, "parents": parents}, "alignlab.metrics.measure")
        return Artefact("metrics", arm, spec)
