"""Semantic slices of what an experiment makes for itself: tables of statistics, and pages.

alignlab summary demo                       # refuses tables whose slice is not today's
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alignlab.answering.stages import SIDES
from alignlab.core.config import dump
from alignlab.experiment.plan import Plan
from alignlab.experiment.report_spec_judging import judge_cards, judged_cards, judges_spec, scales
from alignlab.planning.digest import code_digest, file_digest, signed
from alignlab.shift.config import PairConfig

TUNED_CARD = {"name", "base", "trainset", "trainer"}
ASSETS = Path(__file__).parents[1] / "reporting" / "assets"


def summary_spec(plan: Plan) -> dict[str, Any]:
    """Semantic slice of the experiment's statistics."""
    spec = {
        "experiment": plan.experiment.name,
        "arms": list(plan.experiment.arm_names),
        "baseline": plan.experiment.baseline,
        "asked": {name: plan.datasets_of(name) for name in plan.experiment.arm_names},
        "scenarios": [dump(scenario) for scenario in plan.experiment.scenarios],
        "scales": scales(plan),
        "min_coverage": {judge.name: judge.min_coverage for judge in plan.experiment.judges},
        "seed": plan.experiment.seed,
        "parents": {
            **{name: artefact.digest for name, artefact in plan.metrics.items()},
            "judgements": {
                arm: [a.digest for a in found] for arm, found in plan.judgements.items()
            },
        },
        "code": code_digest("alignlab.reporting.arms.summarise"),
    }
    return signed(spec)


def trainsets_spec(plan: Plan) -> dict[str, Any]:
    """Semantic slice of the table of training sets, checked against what arms are asked."""
    spec = {
        "experiment": plan.experiment.name,
        "trainsets": list(plan.trainsets),
        "parents": {
            **{name: artefact.digest for name, artefact in plan.trainsets.items()},
            "prompts": [prompts.digest for prompts in plan.prompts],
        },
        "code": code_digest("alignlab.learning.overlap"),
    }
    return signed(spec)


def study_spec(plan: Plan) -> dict[str, Any]:
    """Semantic slice of the studies of discrimination against generation."""
    entries = {entry.name: entry for entry in plan.experiment.analyses}
    studies: list[dict[str, Any]] = [
        {
            "name": study.name,
            "arm": entries[study.analyses[0]].of,
            "datasets": entries[study.analyses[0]].datasets,
            "analyses": [{"name": name, "ask": entries[name].ask} for name in study.analyses],
        }
        for study in plan.experiment.studies
    ]
    made = {s["arm"]: plan.metrics[s["arm"]].digest for s in studies}
    made |= {
        name: plan.analyses[name].digest for s in plan.experiment.studies for name in s.analyses
    }
    spec = {
        "experiment": plan.experiment.name,
        "studies": studies,
        "seed": plan.experiment.seed,
        "parents": made,
        "code": code_digest("alignlab.learning.discrimination"),
    }
    return signed(spec)


def shift_spec(plan: Plan) -> dict[str, Any]:
    """Semantic slice of the token-shift statistics."""
    spec = {
        "experiment": plan.experiment.name,
        "pairs": [_pair_card(plan, pair) for pair in plan.experiment.pairs],
        "seed": plan.experiment.seed,
        "parents": {name: artefact.digest for name, artefact in plan.shifts.items()},
        "code": code_digest("alignlab.shift.statistics.summarise"),
    }
    return signed(spec)


def report_spec(plan: Plan) -> dict[str, Any]:
    """Semantic slice of the report."""
    spec = {
        "experiment": plan.experiment.name,
        "title": plan.experiment.title,
        "arms": [_arm_card(plan, name) for name in plan.experiment.arm_names],
        "baseline": plan.experiment.baseline,
        "pairs": [_pair_card(plan, pair) for pair in plan.experiment.pairs],
        "scenarios": [dump(scenario) for scenario in plan.experiment.scenarios],
        "studies": study_spec(plan)["studies"],
        "trainsets": list(plan.trainsets),
        "tuned": [dump(entry, TUNED_CARD) for entry in plan.experiment.tuned],
        "parents": {
            "statistics": summary_spec(plan)["digest"],
            "studies": study_spec(plan)["digest"],
            "trainsets": trainsets_spec(plan)["digest"],
            "shift": shift_page_spec(plan)["digest"],
            "judges": judges_spec(plan)["digest"],
        },
        "judged": judged_cards(plan),
        "judges": judge_cards(plan),
        "judgements": summary_spec(plan)["parents"]["judgements"],
        "code": code_digest("alignlab.reporting.report", "alignlab.operations.manifest"),
        "page": _page_digests(),
    }
    return signed(spec)


def shift_page_spec(plan: Plan) -> dict[str, Any]:
    """Semantic slice of the token-shift page."""
    spec = {
        "experiment": plan.experiment.name,
        "title": plan.experiment.title,
        "pairs": [_pair_card(plan, pair) for pair in plan.experiment.pairs],
        "parents": {"shift": shift_spec(plan)["digest"]},
        "code": code_digest("alignlab.reporting.shift.page", "alignlab.reporting.shift.figures"),
        "page": _page_digests(),
    }
    return signed(spec)


def _pair_card(plan: Plan, pair: PairConfig) -> dict[str, Any]:
    """What statistics and the report say about a pair."""
    models = {f"{side}_model": plan.asked(getattr(pair, side))[0] for side in SIDES}
    arms = {arm.name: arm for arm in plan.experiment.arms}
    decoding = pair.aligned in arms and (arms[pair.aligned].decoding or plan.experiment.decoding)
    return {**dump(pair), **models, "decoding": dump(decoding) if decoding else None}


def _arm_card(plan: Plan, name: str) -> dict[str, Any]:
    """What the report says about an arm."""
    spec = plan.responses[name].spec
    entry = plan.catalog.models.get(spec["model"])
    method = next((arm.method for arm in plan.experiment.arms if arm.name == name), None)
    return {
        "name": name,
        "model": spec["model"],
        "method": dump(method) if method else {"kind": "published"},
        "decoding": spec.get("decoding", {}),
        "role": entry.role if entry else "aligned",
    }


def _page_digests() -> list[str]:
    """Digests of the pages' own HTML, CSS and JavaScript."""
    return [file_digest(path) for path in sorted(ASSETS.rglob("*.*"))]
