"""From an experiment to its artefacts: what exists once, under which name, made from what.

    alignlab check demo                         # print the plan and its job counts

An artefact's name ends in a digest of its semantic slice and of its parents' digests, so a changed
value gives a new name and an unchanged one is never computed again, in whichever experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from alignlab.answering import stages as answering
from alignlab.core.errors import AlignlabError
from alignlab.endpoints.config import ApiEngineConfig
from alignlab.engines.config import EngineConfig
from alignlab.experiment.load import Loaded
from alignlab.judging import stages as judging
from alignlab.judging.rubrics import rubrics_of
from alignlab.learning import stages as learning
from alignlab.planning.artefact import RESULTS, Artefact, lineage
from alignlab.sources.config import ApiModelConfig

STAGES = (
    "models",
    "prompts",
    "mistakes",
    "questions",
    "trainsets",
    "adapters",
    "responses",
    "engine_checks",
    "metrics",
    "shift",
    "controls",
    "judgements",
    "preferences",
)


class Jobs(NamedTuple):
    """How many jobs a stage has, and how many of their results the store holds."""

    total: int
    done: int


class Plan:
    """Every artefact of an experiment, by stage and name."""

    def __init__(self, loaded: Loaded) -> None:
        self.experiment, self.catalog, self.path = loaded.experiment, loaded.catalog, loaded.path
        self._made: dict[tuple[str, str], Artefact | None] = {}

    @cached_property
    def prompts(self) -> list[Artefact]:
        """Prompts tables that every arm is asked, in the order of the experiment."""
        return [answering.prompts(self, chosen) for chosen in self.experiment.prompts]

    @cached_property
    def responses(self) -> dict[str, Artefact]:
        """Responses tables by arm; published arms last."""
        return {name: self.arm(name) for name in self.experiment.arm_names}

    @cached_property
    def metrics(self) -> dict[str, Artefact]:
        """Metrics tables by arm."""
        return {name: answering.metrics(self, name) for name in self.experiment.arm_names}

    @cached_property
    def shifts(self) -> dict[str, Artefact]:
        """Token-shift tables by pair."""
        return {pair.name: answering.shift(self, pair) for pair in self.experiment.pairs}

    @cached_property
    def adapters(self) -> dict[str, Artefact]:
        """Adapters of the models that the experiment tunes itself."""
        return {entry.name: self.entry("tuned", entry.name) for entry in self.experiment.tuned}

    @cached_property
    def trainsets(self) -> dict[str, Artefact]:
        """Training sets by name."""
        found = self.experiment.trainsets
        return {entry.name: self.entry("trainsets", entry.name) for entry in found}

    @cached_property
    def analyses(self) -> dict[str, Artefact]:
        """Responses tables of analysts, by analysis."""
        return {
            entry.name: self.entry("analyses", entry.name) for entry in self.experiment.analyses
        }

    @cached_property
    def judged(self) -> dict[str, list[Artefact]]:
        """Every table that a judge fills, by judge."""
        judges = self.experiment.judges
        return {judge.name: list(judging.all_of(self, judge)) for judge in judges}

    @cached_property
    def judgements(self) -> dict[str, list[Artefact]]:
        """Judgements tables of every arm, one a judge that scores it."""
        judges = [j for j in self.experiment.judges if rubrics_of(j, compares=False)]
        return {
            arm: [
                judging.judgements(self, judge, arm)
                for judge in judges
                if arm in judging.judged_arms(self, judge)
            ]
            for arm in self.experiment.arm_names
        }

    @property
    def scored(self) -> dict[str, Artefact]:
        """Responses tables that pairs score, by arm."""
        return {pair.aligned: self.responses[pair.aligned] for pair in self.experiment.pairs}

    def prompts_of(self, datasets: Collection[str] | None) -> list[Artefact]:
        """The prompts tables of some datasets; all of them for none."""
        return [p for p in self.prompts if datasets is None or p.name in datasets]

    def datasets_of(self, arm: str) -> list[str]:
        """The experiment's datasets that an arm is asked, in order."""
        chosen = {entry.name: entry.datasets for entry in self.experiment.arms}.get(arm)
        names = dict.fromkeys(prompts.dataset for prompts in self.experiment.prompts)
        return [name for name in names if chosen is None or name in chosen]

    def model(self, name: str) -> Artefact:
        """A model of the catalog."""
        return self._once("models", name, lambda: answering.model(self, name))

    def arm(self, name: str) -> Artefact:
        """Responses of an arm, generated or published."""
        kind = "published" if name in {p.name for p in self.experiment.published} else "arms"
        return self.entry(kind, name)

    def entry(self, kind: str, name: str) -> Artefact:
        """The artefact of an entry of the experiment, under its key of the file.

        Made when it is first asked for, so entries may stand in any order.

        Raises:
            AlignlabError: it is made from itself, by way of others.
        """
        entries = getattr(self.experiment, kind)
        entry = next(entry for entry in entries if entry.name == name)
        return self._once(kind, name, lambda: MAKERS[kind](self, entry))

    def _once(self, kind: str, name: str, make: Callable[[], Artefact]) -> Artefact:
        key = (kind, name)
        if key not in self._made:
            self._made[key] = None
            self._made[key] = make()
        made = self._made[key]
        if made is None:
            raise AlignlabError(f"{self.path}: {kind}: {name} is made from itself")
        return made

    def base_of(self, model: str) -> str:
        """The catalog model whose weights a model has, which for a tuned one are its base's."""
        return next((t.base for t in self.experiment.tuned if t.name == model), model)

    def endpoint_of(self, model: str) -> ApiModelConfig | None:
        """Where a model answers, if it is behind an endpoint."""
        source = self.catalog.models[self.base_of(model)].source
        return source if isinstance(source, ApiModelConfig) else None

    def engine_of(self, model: str) -> EngineConfig | ApiEngineConfig:
        """What runs a model, tuned or not: its endpoint, its own engine, or the experiment's."""
        if endpoint := self.endpoint_of(model):
            fields = endpoint.model_dump(include={"model", "base_url", "form"})
            return ApiEngineConfig.model_validate(fields)
        chosen = self.experiment.engine
        own = self.catalog.models[self.base_of(model)].engine
        return chosen.model_copy(update={"name": own}) if own else chosen

    def tokenizer_of(self, model: str) -> Path:
        """Folder of a model's tokenizer; a tuned one's may have another chat template."""
        return self.adapters[model].path if model in self.adapters else self.model(model).path

    def asked(self, arm: str) -> tuple[str, Any]:
        """Model and method of an arm; the method of a published one may be unknown."""
        for generated in self.experiment.arms:
            if generated.name == arm:
                return generated.model, generated.method
        published = next(p for p in self.experiment.published if p.name == arm)
        return self.catalog.published[published.responses].model, published.method

    def __iter__(self) -> Iterator[Artefact]:
        """Every artefact once, in the order the data walks through them."""
        return iter(self._by_key.values())

    @cached_property
    def _by_key(self) -> dict[tuple[str, str], Artefact]:
        ends = (self.metrics, self.shifts, self.adapters, self.trainsets, self.analyses)
        judged = (artefact for found in self.judged.values() for artefact in found)
        made = list(lineage(chain((a for end in ends for a in end.values()), judged)))
        made += answering.engine_checks(self, made)
        return {(a.stage, a.key): a for a in sorted(made, key=lambda a: STAGES.index(a.stage))}

    def find(self, stage: str, key: str) -> Artefact:
        """The artefact with this key.

        Raises:
            AlignlabError: the experiment has none, for example because it changed meanwhile.
        """
        try:
            return self._by_key[stage, key]
        except KeyError:
            raise AlignlabError(f"{self.path} plans no {stage}/{key}") from None

    def job_counts(self) -> dict[str, Jobs]:
        """Jobs by stage, and how many of them the store already answers."""
        counts = {}
        for stage in STAGES:
            found = [artefact for artefact in self if artefact.stage == stage]
            cost = [(self._jobs(artefact), artefact.path.exists()) for artefact in found]
            counts[stage] = Jobs(sum(n for n, _ in cost), sum(n for n, done in cost if done))
        return counts

    def _jobs(self, artefact: Artefact) -> int:
        generated = artefact.stage == "responses" and "decoding" in artefact.slice
        return self.parts_of(artefact) if generated else 1

    def parts_of(self, responses: Artefact) -> int:
        """Batches of an arm's prompts, one job each; one job alone writes an endpoint's replies."""
        behind = responses.slice["engine"]["name"] == "openai"
        return 1 if behind else self.experiment.runtime.jobs_per_arm

    @property
    def folder(self) -> Path:
        """Where the experiment's own tables, figures and report go."""
        return RESULTS / self.experiment.name


MAKERS: dict[str, Callable[[Plan, Any], Artefact]] = {
    "arms": lambda plan, arm: answering.responses(
        plan, arm.name, arm, plan.prompts_of(arm.datasets)
    ),
    "published": answering.published,
    "mistakes": learning.mistakes,
    "analyses": learning.analysis,
    "trainsets": learning.trainset,
    "tuned": learning.adapter,
}
"""Key of an experiment's entries → what makes an artefact of one."""
