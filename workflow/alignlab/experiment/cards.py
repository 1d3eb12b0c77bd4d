"""Describes arms, pairs, studies and judges for statistics and reports: a card for each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from alignlab.core.config import dump
from alignlab.experiment.plan import Plan
from alignlab.judging.config import JudgeConfig, Rubric, rubrics_of
from alignlab.learning.config import StudiedAnalysis, StudyCard
from alignlab.reporting.cards import ArmCard, AspectCard, JudgeCard, TunedCard
from alignlab.shift import stages as shift
from alignlab.shift.config import PairConfig
from alignlab.sources.config import ApiModelConfig


def arm(plan: Plan, name: str) -> ArmCard:
    """What the report says about an arm."""
    spec = plan.responses[name].spec
    entry = plan.catalog.models.get(spec["model"])
    method = next((arm.method for arm in plan.experiment.arms if arm.name == name), None)
    return ArmCard(
        name=name,
        model=spec["model"],
        method=dump(method) if method else {"kind": "published"},
        decoding=spec.get("decoding", {}),
        role=entry.role if entry else "aligned",
    )


def pair(plan: Plan, chosen: PairConfig) -> dict[str, Any]:
    """What statistics and the report say about a pair."""
    models = {side: plan.asked(getattr(chosen, side))[0] for side in shift.SIDES}
    arms = {arm.name: arm for arm in plan.experiment.arms}
    generated = arms.get(chosen.aligned)
    decoding = (generated.decoding or plan.experiment.decoding) if generated else None
    return shift.card(chosen, models, decoding)


def studies(plan: Plan) -> list[StudyCard]:
    """What statistics and the report say about studies."""
    entries = {entry.name: entry for entry in plan.experiment.analyses}
    return [
        StudyCard(
            name=study.name,
            arm=entries[study.analyses[0]].of,
            datasets=entries[study.analyses[0]].datasets,
            analyses=tuple(
                StudiedAnalysis(name=name, ask=entries[name].ask) for name in study.analyses
            ),
        )
        for study in plan.experiment.studies
    ]


def tuned(plan: Plan) -> list[TunedCard]:
    """What the report says about the models that the experiment tunes."""
    return [
        TunedCard(name=each.name, base=each.base, trainset=each.trainset, trainer=each.trainer)
        for each in plan.experiment.tuned
    ]


def scales(plan: Plan) -> dict[str, list[float]]:
    """Lowest and highest value of every judged metric."""
    return {
        f"{judge.name}:{aspect}": [
            min((described.scale or found.scale).values),
            max((described.scale or found.scale).values),
        ]
        for judge in plan.experiment.judges
        for _, found in _rated(judge)
        for aspect, described in found.aspects.items()
    }


def judged(plan: Plan) -> list[AspectCard]:
    """What the report says about every judged metric, in order of display."""
    return [card for judge in plan.experiment.judges for card in _cards(plan, judge)]


def _judged_self(plan: Plan, judge: JudgeConfig) -> tuple[str, ...]:
    """The arms whose answers a judge scores or compares, and whose model is its own."""
    scored = plan.judged_arms(judge) if rubrics_of(judge, compares=False) else ()
    model = getattr(plan.catalog.judges[judge.judge], "model", None)
    arms = dict.fromkeys(chain(scored, *judge.duels))
    return tuple(arm for arm in arms if model in _names(plan, plan.asked(arm)[0]))


def _names(plan: Plan, model: str) -> set[str]:
    """What a model is known by: here, and at its endpoint if it is behind one."""
    base = plan.base_of(model)
    entry = plan.catalog.models.get(base)
    there = {entry.source.model} if entry and isinstance(entry.source, ApiModelConfig) else set()
    return {base, *there}


def judges(plan: Plan) -> dict[str, JudgeCard]:
    """What the report says about every judge, whether it scores or only compares."""
    entries = plan.catalog.judges
    return {
        judge.name: JudgeCard(
            model=getattr(entries[judge.judge], "model", ""),
            judged_self=_judged_self(plan, judge),
        )
        for judge in plan.experiment.judges
    }


def _cards(plan: Plan, judge: JudgeConfig) -> Iterator[AspectCard]:
    entry = plan.catalog.judges[judge.judge]
    model = getattr(entry, "model", entry.kind)
    own = _judged_self(plan, judge)
    for name, found in _rated(judge):
        for aspect, described in found.aspects.items():
            yield AspectCard(
                metric=f"{judge.name}:{aspect}",
                judge=judge.name,
                aspect=aspect,
                rubric=name,
                label=described.label,
                unit=(described.scale or found.scale).unit,
                better=described.better,
                description=described.meaning,
                category=found.category,
                model=model,
                kind=entry.kind,
                judged_self=own,
                min_coverage=judge.min_coverage,
            )


def needs(judge: JudgeConfig) -> dict[str, dict[str, list[str]]]:
    """Rubric → aspect → controls that the judge must notice."""
    return {
        name: {aspect: list(described.controls) for aspect, described in found.aspects.items()}
        for name, found in _rated(judge)
    }


def _rated(judge: JudgeConfig) -> Iterator[tuple[str, Rubric]]:
    return iter(rubrics_of(judge, compares=False).items())
