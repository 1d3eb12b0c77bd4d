"""Semantic slices of what is made of judgements: qualification, win rates, and the report's cards.

alignlab check demo                         # resolves every rubric that these read
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from alignlab.experiment.judging import Judge
from alignlab.experiment.making_judgements import judged_arms
from alignlab.experiment.plan import Plan
from alignlab.experiment.rubrics import Rubric, rubrics_of
from alignlab.experiment.source_entries import ApiSource
from alignlab.experiment.specs import signed
from alignlab.experiment.units import code_of


def judges_spec(plan: Plan) -> dict[str, Any]:
    """Semantic slice of the tables `qualification` and `winrates`."""
    judges = plan.experiment.judges
    spec = {
        "experiment": plan.experiment.name,
        "seed": plan.experiment.seed,
        "needs": {judge.name: _needs(judge) for judge in judges},
        "min_coverage": {judge.name: judge.min_coverage for judge in judges},
        "arms": [arm for arm in plan.experiment.arm_names if plan.judgements[arm]],
        "tables": _places(plan),
        "parents": {name: [a.digest for a in found] for name, found in plan.judged.items()},
        "code": code_of("qualification", "win rates"),
    }
    return signed(spec)


def _places(plan: Plan) -> dict[str, dict[str, list[int]]]:
    """Kind of table → judge → where its tables of that kind stand among all that judges fill."""
    places: dict[str, dict[str, list[int]]] = {}
    every = [(judge, a) for judge, found in plan.judged.items() for a in found]
    for at, (judge, artefact) in enumerate(every):
        tries = any(parent.stage == "controls" for parent in artefact.parent("responses"))
        kinds = places.setdefault("controls" if tries else artefact.stage, {})
        kinds.setdefault(judge, []).append(at)
    return {kind: places.get(kind, {}) for kind in ("controls", "judgements", "preferences")}


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


def judged_cards(plan: Plan) -> list[dict[str, Any]]:
    """What the report says about every judged metric, in order of display."""
    return [card for judge in plan.experiment.judges for card in _cards(plan, judge)]


def judged_self(plan: Plan, judge: Judge) -> list[str]:
    """The arms whose answers a judge scores or compares, and whose model is its own."""
    scored = judged_arms(plan, judge) if rubrics_of(judge, compares=False) else ()
    model = getattr(plan.catalog.judges[judge.judge], "model", None)
    arms = dict.fromkeys(chain(scored, *judge.duels))
    return [arm for arm in arms if model in _names(plan, plan.asked(arm)[0])]


def _names(plan: Plan, model: str) -> set[str]:
    """What a model is known by: here, and at its endpoint if it is behind one."""
    base = plan.base_of(model)
    entry = plan.catalog.models.get(base)
    there = {entry.source.model} if entry and isinstance(entry.source, ApiSource) else set()
    return {base, *there}


def judge_cards(plan: Plan) -> dict[str, dict[str, Any]]:
    """What the report says about every judge, whether it scores or only compares."""
    entries = plan.catalog.judges
    return {
        judge.name: {
            "model": getattr(entries[judge.judge], "model", ""),
            "judged_self": judged_self(plan, judge),
        }
        for judge in plan.experiment.judges
    }


def _cards(plan: Plan, judge: Judge) -> Iterator[dict[str, Any]]:
    entry = plan.catalog.judges[judge.judge]
    model = getattr(entry, "model", entry.kind)
    own = judged_self(plan, judge)
    for name, found in _rated(judge):
        for aspect, described in found.aspects.items():
            yield {
                "metric": f"{judge.name}:{aspect}",
                "judge": judge.name,
                "aspect": aspect,
                "rubric": name,
                "label": described.label,
                "unit": (described.scale or found.scale).unit,
                "better": described.better,
                "description": described.meaning,
                "category": found.category,
                "model": model,
                "kind": entry.kind,
                "judged_self": own,
                "min_coverage": judge.min_coverage,
            }


def _needs(judge: Judge) -> dict[str, dict[str, list[str]]]:
    """Rubric → aspect → controls that the judge must notice."""
    return {
        name: {aspect: list(described.controls) for aspect, described in found.aspects.items()}
        for name, found in _rated(judge)
    }


def _rated(judge: Judge) -> Iterator[tuple[str, Rubric]]:
    return iter(rubrics_of(judge, compares=False).items())
