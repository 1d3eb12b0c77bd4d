"""From an experiment to its artefacts: what exists once, under which name, made from what.

Rooms say in their `stages.py` how an artefact is made of config entries and of other artefacts;
the plan looks both up. Entries may stand in any order: an artefact is made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cached_property, singledispatchmethod
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from alignlab.answering import stages as answering
from alignlab.answering.config import ArmConfig, AskedConfig, PublishedArmConfig
from alignlab.core.errors import AlignlabError
from alignlab.endpoints.config import ApiEngineConfig
from alignlab.engines.config import EngineConfig
from alignlab.experiment.load import Loaded
from alignlab.judging import stages as judging
from alignlab.judging.config import JudgeConfig, PublishedJudgeConfig, rubrics_of
from alignlab.judging.stages import UsedJudge
from alignlab.learning import stages as learning
from alignlab.learning.config import AnalysisConfig, MistakesConfig, TrainSetConfig
from alignlab.planning.artefact import RESULTS, Artefact, Stage, lineage
from alignlab.prompting.config import AnyMethod
from alignlab.shift import stages as shift
from alignlab.shift.config import PairConfig
from alignlab.sources import stages as sources
from alignlab.sources.config import ApiModelConfig, PromptSetConfig
from alignlab.sources.stages import UsedModel
from alignlab.tuning import stages as tuning
from alignlab.tuning.config import TunedConfig

ROOMS = (sources, learning, tuning, answering, shift, judging)
STAGES: tuple[Stage, ...] = tuple(chain.from_iterable(room.STAGES for room in ROOMS))
"""Every stage of the store."""
# Of stages that fill one folder, the last one counts: answers are made after what is published.
NAMES = tuple(dict.fromkeys(stage.name for stage in reversed(STAGES)))[::-1]
"""Folders of the store, in the order the data walks through them."""


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
        return self._prompt_sets(self.experiment.prompts)

    @cached_property
    def responses(self) -> dict[str, Artefact]:
        """Responses tables by arm; published arms last."""
        return {name: self.arm(name) for name in self.experiment.arm_names}

    @cached_property
    def metrics(self) -> dict[str, Artefact]:
        """Metrics tables by arm."""
        embedder = self.model(self.experiment.embedder) if self.experiment.embedder else None
        return {
            name: answering.metrics(name, responses, self.prompts, embedder)
            for name, responses in self.responses.items()
        }

    @cached_property
    def shifts(self) -> dict[str, Artefact]:
        """Token-shift tables by pair."""
        return {pair.name: self._shift(pair) for pair in self.experiment.pairs}

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
    def judges(self) -> dict[str, UsedJudge]:
        """Judges at work, by name."""
        return {judge.name: self._judge(judge) for judge in self.experiment.judges}

    @cached_property
    def judged(self) -> dict[str, list[Artefact]]:
        """Every table that a judge fills, by judge."""
        return {
            name: [*self._scores(judge).values(), *self._duels(judge), *self._tried(judge)]
            for name, judge in self.judges.items()
        }

    @cached_property
    def judgements(self) -> dict[str, list[Artefact]]:
        """Judgements tables of every arm, one a judge that scores it."""
        scores = [self._scores(judge) for judge in self.judges.values()]
        return {
            arm: [found[arm] for found in scores if arm in found]
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

    def judged_arms(self, judge: JudgeConfig) -> tuple[str, ...]:
        """The arms whose answers a judge scores: of all, those with answers for it to judge."""
        every = (arm for arm in self.experiment.arm_names if self._seen(judge, arm))
        return judge.arms or tuple(every)

    def model(self, name: str) -> Artefact:
        """A model of the catalog."""
        return self._once("models", name, lambda: sources.model(name, self.catalog.models[name]))

    def arm(self, name: str) -> Artefact:
        """Responses of an arm, generated or published."""
        kind = "published" if name in {p.name for p in self.experiment.published} else "arms"
        return self.entry(kind, name)

    def entry(self, kind: str, name: str) -> Artefact:
        """The artefact of an entry of the experiment, under its key of the file.

        Raises:
            AlignlabError: it is made from itself, by way of others.
        """
        entries = getattr(self.experiment, kind)
        entry = next(entry for entry in entries if entry.name == name)
        return self._once(kind, name, lambda: self._artefact(entry))

    def _once(self, kind: str, name: str, make: Callable[[], Artefact]) -> Artefact:
        key = (kind, name)
        if key not in self._made:
            self._made[key] = None
            self._made[key] = make()
        made = self._made[key]
        if made is None:
            raise AlignlabError(f"{self.path}: {kind}: {name} is made from itself")
        return made

    @singledispatchmethod
    def _artefact(self, entry: Any) -> Artefact:
        raise TypeError(entry)

    @_artefact.register
    def _(self, entry: ArmConfig) -> Artefact:
        return self._answers(entry.name, entry, self.prompts_of(entry.datasets))

    @_artefact.register
    def _(self, entry: PublishedArmConfig) -> Artefact:
        source = self.catalog.published[entry.responses]
        return sources.published(entry.name, source, self.prompts)

    @_artefact.register
    def _(self, entry: MistakesConfig) -> Artefact:
        asked = self._prompt_sets(entry.prompts)
        made = self._answers(entry.name, entry.induced, asked) if entry.induced else None
        return learning.mistakes(entry, asked, made)

    @_artefact.register
    def _(self, entry: AnalysisConfig) -> Artefact:
        asked = learning.questions(entry, self._analysed(entry))
        return self._answers(entry.name, entry, [asked])

    @_artefact.register
    def _(self, entry: TrainSetConfig) -> Artefact:
        analysis = next((a for a in self.experiment.analyses if a.name == entry.analyses), None)
        return learning.trainset(
            entry,
            self._prompt_sets(entry.answers),
            self.entry("mistakes", entry.mistakes) if entry.mistakes else None,
            self.entry("analyses", analysis.name) if analysis else None,
            analysis_texts=analysis.texts if analysis else None,
            seed=self.experiment.seed,
        )

    @_artefact.register
    def _(self, entry: TunedConfig) -> Artefact:
        trainset = self.entry("trainsets", entry.trainset)
        base, dtype = self.used(entry.base), self.experiment.engine.dtype
        return tuning.adapter(entry, base, trainset, dtype=dtype, seed=self.experiment.seed)

    def _prompt_sets(self, chosen: Collection[PromptSetConfig]) -> list[Artefact]:
        return [sources.prompts(each, self.catalog.datasets) for each in chosen]

    def _answers(self, name: str, asked: AskedConfig, prompts: list[Artefact]) -> Artefact:
        model, embedder = self.used(asked.model), self._embedder(asked.method)
        decoding, seed = self.experiment.decoding, self.experiment.seed
        try:
            return answering.responses(
                name, asked, model, prompts, decoding=decoding, seed=seed, embedder=embedder
            )
        except AlignlabError as error:
            raise AlignlabError(f"{self.path}: {error}") from error

    def _analysed(self, entry: AnalysisConfig) -> dict[str, Any]:
        """What an analysis is of, by role."""
        if entry.of in self.experiment.arm_names:
            prompts = self.prompts_of(entry.datasets)
            return {"responses": self.arm(entry.of), "prompts": prompts}
        if entry.ask != "revision":
            return {"mistakes": self.entry("mistakes", entry.of)}
        critiques = next(a for a in self.experiment.analyses if a.name == entry.of)
        return {
            "mistakes": self.entry("mistakes", critiques.of),
            "responses": self.entry("analyses", entry.of),
        }

    def _embedder(self, method: AnyMethod | None) -> Artefact | None:
        return self.model(method.embeds_with) if method and method.embeds_with else None

    def _shift(self, pair: PairConfig) -> Artefact:
        is_published = pair.aligned in {arm.name for arm in self.experiment.published}
        sides = {}
        for side in shift.SIDES:
            name, method = self.asked(getattr(pair, side))
            # Answers that were generated here come with their prompts.
            shown = method if side == "base" or is_published else None
            sides[side] = shift.Side(self.used(name), shown, self._embedder(shown))
        prompts, dtype = self.prompts_of(pair.datasets), self.experiment.engine.dtype
        return shift.shift(pair, self.arm(pair.aligned), prompts, sides, dtype)

    def _judge(self, judge: JudgeConfig) -> UsedJudge:
        entry, dtype = self.catalog.judges[judge.judge], self.experiment.engine.dtype
        model = self.used(entry.loads) if entry.loads else None
        return UsedJudge(judge, entry, model, dtype, self.experiment.seed)

    def _scores(self, judge: UsedJudge) -> dict[str, Artefact]:
        """Judgements of arms' answers, by arm; none by a judge that only compares."""
        rates = rubrics_of(judge.config, compares=False)
        arms = self.judged_arms(judge.config) if rates else ()
        return {arm: self._score(judge, arm) for arm in arms}

    def _score(self, judge: UsedJudge, arm: str) -> Artefact:
        responses, prompts = self.arm(arm), self._shown(judge.config, arm)
        if not isinstance(judge.entry, PublishedJudgeConfig):
            return judging.judgements(judge, arm, responses, prompts)
        published = next(p for p in self.experiment.published if p.name == arm)
        files = judge.entry.judgements[published.responses]
        return judging.published(judge, arm, files, responses, prompts)

    def _duels(self, judge: UsedJudge) -> list[Artefact]:
        return [self._duel(judge, a, b) for a, b in judge.config.duels]

    def _duel(self, judge: UsedJudge, a: str, b: str) -> Artefact:
        arms = {"a": self.arm(a), "b": self.arm(b)}
        return judging.preferences(judge, arms, self._shown(judge.config, a, b))

    def _tried(self, judge: UsedJudge) -> list[Artefact]:
        """What a judge says of controls: scores, and duels of an arm with itself."""
        if judge.config.controls is None:
            return []
        arm = judge.config.controls.arm
        shown = self._shown(judge.config, arm)
        made = judging.controls(judge, self.arm(arm), shown)
        rates = rubrics_of(judge.config, compares=False)
        scored = [judging.tried(judge, made, shown)] if rates else []
        itself = [self._duel(judge, arm, arm)] if judge.config.duels else []
        return [*scored, *itself]

    def _seen(self, judge: JudgeConfig, *arms: str) -> list[str]:
        """The datasets that all of these arms are asked and a judge sees."""
        asked = [self.datasets_of(arm) for arm in arms]
        seen = self.prompts_of(judge.datasets)
        return [p.name for p in seen if all(p.name in datasets for datasets in asked)]

    def _shown(self, judge: JudgeConfig, *arms: str) -> list[Artefact]:
        # A draw is from all that the judge may see, so that it is the same for every arm.
        return self.prompts_of(judge.datasets if judge.take else self._seen(judge, *arms))

    def used(self, model: str) -> UsedModel:
        """A model as arms name it, with what a job loads of it."""
        base = self.base_of(model)
        entry = self.catalog.models[base]
        loads: dict[str, Artefact] = {}
        if not isinstance(entry.source, ApiModelConfig):
            loads["model"] = self.model(base)
            if model != base:
                loads["adapter"] = self.entry("tuned", model)
        return UsedModel(model, entry, self._engine(entry), loads)

    def base_of(self, model: str) -> str:
        """The catalog model whose weights a model has, which for a tuned one are its base's."""
        return next((t.base for t in self.experiment.tuned if t.name == model), model)

    def _engine(self, entry: Any) -> EngineConfig | ApiEngineConfig:
        """What runs a model, tuned or not: its endpoint, its own engine, or the experiment's."""
        if isinstance(entry.source, ApiModelConfig):
            fields = entry.source.model_dump(include={"model", "base_url", "form"})
            return ApiEngineConfig.model_validate(fields)
        chosen = self.experiment.engine
        return chosen.model_copy(update={"name": entry.engine}) if entry.engine else chosen

    def tokenizer_of(self, model: str) -> Path:
        """Folder of a model's tokenizer; a tuned one's may have another chat template."""
        return self.adapters[model].path if model in self.adapters else self.model(model).path

    def asked(self, arm: str) -> tuple[str, AnyMethod | None]:
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
        judged = chain.from_iterable(self.judged.values())
        made = list(lineage(chain((a for end in ends for a in end.values()), judged)))
        made += chain.from_iterable(stage.added(made) for stage in STAGES)
        return {(a.stage, a.key): a for a in sorted(made, key=lambda a: NAMES.index(a.stage))}

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
        for stage in NAMES:
            found = [artefact for artefact in self if artefact.stage == stage]
            cost = [(self._jobs(artefact), artefact.path.exists()) for artefact in found]
            counts[stage] = Jobs(sum(n for n, _ in cost), sum(n for n, done in cost if done))
        return counts

    def _jobs(self, artefact: Artefact) -> int:
        return self.parts_of(artefact) if artefact.kind is answering.RESPONSES else 1

    def parts_of(self, responses: Artefact) -> int:
        """Batches of an arm's prompts, one job each; one job alone writes an endpoint's replies."""
        behind = responses.slice["engine"]["name"] == "openai"
        return 1 if behind else self.experiment.runtime.jobs_per_arm

    @property
    def folder(self) -> Path:
        """Where the experiment's own tables, figures and report go."""
        return RESULTS / self.experiment.name
