"""An experiment's own results, tables of statistics and pages; and the check of the lock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, get_args

from alignlab.core.config import StrictModel, dump
from alignlab.endpoints.config import ApiEngineConfig
from alignlab.engines.config import EngineConfig, engine_unit
from alignlab.experiment import cards
from alignlab.experiment.plan import STAGES, Plan
from alignlab.judging import stages as judging
from alignlab.judging.config import AnyJudge, judge_unit
from alignlab.learning import stages as learning
from alignlab.planning.artefact import Artefact, Stage
from alignlab.planning.versions import LOCK, Unit, check_units, versions
from alignlab.prompting.config import METHODS
from alignlab.reporting import stages as reporting
from alignlab.shift import stages as shift
from alignlab.tracking import stages as tracking
from alignlab.tuning.config import TRAINERS

RESULT_STAGES: tuple[Stage, ...] = (
    reporting.STATISTICS,
    learning.CHECKED_TRAINSETS,
    learning.STUDIES,
    shift.SHIFT_STATISTICS,
    judging.QUALIFICATION,
    reporting.SHIFT_PAGE,
    reporting.REPORT,
    tracking.PUBLICATION,
)
"""Every stage of what an experiment makes for itself, in the order the data walks through them."""


class Results:
    """The tables and pages of an experiment."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.experiment = plan, plan.experiment
        self.tables, self.pages = plan.folder / "tables", plan.folder / "report"

    @cached_property
    def statistics(self) -> Artefact:
        """Tables `statistics`, `comparisons`, `breakdown`, `scenarios` and `contrasts`."""
        plan, experiment = self.plan, self.experiment
        spec = {
            "arms": list(experiment.arm_names),
            "baseline": experiment.baseline,
            "asked": {name: plan.datasets_of(name) for name in experiment.arm_names},
            "scenarios": [dump(scenario) for scenario in experiment.scenarios],
            "scales": cards.scales(plan),
            "min_coverage": {judge.name: judge.min_coverage for judge in experiment.judges},
            "seed": experiment.seed,
        }
        if experiment.contrasts:
            spec["contrasts"] = [dump(contrast) for contrast in experiment.contrasts]
        parents = {
            "metrics": plan.metrics,
            "judgements": plan.judgements,
            "prompts": plan.prompts,
        }
        return reporting.statistics(experiment.name, spec, parents, self.tables)

    @cached_property
    def trainsets(self) -> Artefact | None:
        """Table `trainsets`: training sets, checked against what arms are asked."""
        plan = self.plan
        if not plan.trainsets:
            return None
        return learning.checked_trainsets(
            self.experiment.name, plan.trainsets, plan.prompts, self.tables
        )

    @cached_property
    def studies(self) -> Artefact | None:
        """Table `discrimination`: what models say of answers against what they answer."""
        if not self.experiment.studies:
            return None
        plan, found = self.plan, cards.studies(self.plan)
        arms = [study.arm for study in found]
        analyses = [entry.name for study in found for entry in study.analyses]
        parents = {
            "prompts": plan.prompts,
            "metrics": {arm: plan.metrics[arm] for arm in arms},
            "analyses": {name: plan.analyses[name] for name in analyses},
        }
        name, seed = self.experiment.name, self.experiment.seed
        return learning.studies(name, found, parents, seed, self.tables)

    @cached_property
    def shift_statistics(self) -> Artefact | None:
        """Tables `shift*`: shares, curves, tokens, categories and comparisons of pairs."""
        plan, experiment = self.plan, self.experiment
        if not experiment.pairs:
            return None
        found = [cards.pair(plan, pair) for pair in experiment.pairs]
        return shift.statistics(
            experiment.name, found, plan.shifts, plan.prompts, experiment.seed, self.tables
        )

    @cached_property
    def qualification(self) -> Artefact | None:
        """Tables `qualification` and `winrates`."""
        plan, experiment = self.plan, self.experiment
        if not experiment.judges:
            return None
        arms = [arm for arm in experiment.arm_names if plan.judgements[arm]]
        spec = {
            "seed": experiment.seed,
            "judges": [judge.name for judge in experiment.judges],
            "needs": {judge.name: cards.needs(judge) for judge in experiment.judges},
            "min_coverage": {judge.name: judge.min_coverage for judge in experiment.judges},
            "arms": arms,
        }
        parents = {
            **_by_kind(plan),
            "responses": {arm: plan.responses[arm] for arm in arms},
            "prompts": plan.prompts,
        }
        return judging.qualification(experiment.name, spec, parents, self.tables)

    @cached_property
    def shift_page(self) -> Artefact | None:
        """The token-shift page, with its data and its figures."""
        plan, experiment = self.plan, self.experiment
        if self.shift_statistics is None:
            return None
        pairs = [cards.pair(plan, pair) for pair in experiment.pairs]
        spec = {"title": experiment.title, "pairs": pairs}
        parents = {
            "shifts": plan.shifts,
            "statistics": self.shift_statistics,
            "responses": plan.scored,
            "prompts": plan.prompts,
        }
        return reporting.shift_page(experiment.name, spec, parents, self.pages)

    @cached_property
    def report(self) -> Artefact:
        """The report, with its figures and the manifest."""
        plan, experiment = self.plan, self.experiment
        spec = {
            "title": experiment.title,
            "arms": _shown(cards.arm(plan, name) for name in experiment.arm_names),
            "baseline": experiment.baseline,
            "pairs": [cards.pair(plan, pair) for pair in experiment.pairs],
            "scenarios": [dump(scenario) for scenario in experiment.scenarios],
            "studies": _shown(cards.studies(plan)),
            "trainsets": list(plan.trainsets),
            "tuned": _shown(cards.tuned(plan)),
            "judged": _shown(cards.judged(plan)),
            "judges": {name: card.model_dump() for name, card in cards.judges(plan).items()},
            "contrasts": bool(experiment.contrasts),
        }
        parents: dict[str, Any] = {
            "tables": {table.stage: table for table in self.made()},
            "responses": plan.responses,
            "metrics": plan.metrics,
            "judgements": plan.judgements,
            "adapters": plan.adapters,
            "prompts": plan.prompts,
        }
        if self.shift_page:
            parents["shift_page"] = self.shift_page
        return reporting.report(experiment.name, spec, parents, self.pages)

    @cached_property
    def publication(self) -> Artefact:
        """What is published of the report, its tables and its figures."""
        experiment = self.experiment
        names = [*(table.stage for table in self.made()), "comparisons"]
        names += ["scenarios"] if experiment.scenarios else []
        names += ["contrasts"] if experiment.contrasts else []
        names += ["winrates"] if self.qualification else []
        figures = ["arms", *(["shift"] if self.shift_page else [])]
        return tracking.publication(self.report, names, figures, experiment.wandb, self.plan.folder)

    def made(self) -> Iterator[Artefact]:
        """Every table of statistics that the experiment has."""
        found = (self.statistics, self.trainsets, self.studies, self.shift_statistics)
        yield from (table for table in (*found, self.qualification) if table)


def _shown(found: Iterable[StrictModel]) -> list[dict[str, Any]]:
    """Cards as a spec has them."""
    return [card.model_dump(mode="json") for card in found]


def _by_kind(plan: Plan) -> dict[str, dict[str, list[Artefact]]]:
    """Kind of table → judge → what it filled; scores of controls are a kind of their own."""
    kinds: dict[str, dict[str, list[Artefact]]] = {
        "controls": {},
        "judgements": {},
        "preferences": {},
    }
    for judge, found in plan.judged.items():
        for artefact in found:
            tries = any(parent.kind is judging.CONTROLS for parent in artefact.parent("responses"))
            kind = "controls" if tries else artefact.stage
            kinds[kind].setdefault(judge, []).append(artefact)
    return kinds


def units() -> dict[str, Unit]:
    """Every unit with a version, by name."""
    return {unit.name: unit for unit in _declared() if unit.versioned}


def check_lock() -> None:
    """Check that the lock has a line for each unit, and for no other.

    Raises:
        AlignlabError: it has not; the message names them.
    """
    check_units(versions().recorded, units(), LOCK)


def _declared() -> Iterator[Unit]:
    for stage in (*STAGES, *RESULT_STAGES):
        yield from stage.units
    yield from (method.unit for method in METHODS.values())
    for engine in (EngineConfig, ApiEngineConfig):
        names = get_args(engine.model_fields["name"].annotation)
        yield from map(engine_unit, names)
    judges = get_args(get_args(AnyJudge)[0])
    asked = (judge for judge in judges if judge.can_be_asked)
    kinds = (get_args(judge.model_fields["kind"].annotation)[0] for judge in asked)
    yield from map(judge_unit, kinds)
    yield from (trainer.unit for trainer in TRAINERS.values())
