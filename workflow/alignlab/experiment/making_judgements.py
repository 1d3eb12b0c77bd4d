"""How judges at work become artefacts: controls, judgements, preferences.

alignlab check demo                         # print the artefacts that these functions give
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from alignlab.experiment.artefact import Artefact
from alignlab.experiment.endpoints import RUNTIME
from alignlab.experiment.judge_entries import JudgeEntry, LocalJudge, OpenaiJudge, PublishedJudge
from alignlab.experiment.judging import Judge
from alignlab.experiment.making import Parents
from alignlab.experiment.rubrics import resolved_rubric, rubrics_of
from alignlab.experiment.specs import coded, content, dump, place

if TYPE_CHECKING:
    from alignlab.experiment.plan import Plan


def judged_arms(plan: Plan, judge: Judge) -> tuple[str, ...]:
    """The arms whose answers a judge scores: of all, those with answers that it is to see."""
    every = (arm for arm in plan.experiment.arm_names if datasets_of(plan, judge, arm))
    return judge.arms or tuple(every)


def judgements(plan: Plan, judge: Judge, arm: str) -> Artefact:
    """A judge's scores of an arm's answers."""
    entry = plan.catalog.judges[judge.judge]
    if isinstance(entry, PublishedJudge):
        return _published(plan, judge, entry, arm)
    parents: Parents = {"responses": plan.arm(arm), "prompts": _prompts(plan, judge, arm)}
    return _asked(plan, judge, "judgements", f"{judge.name}.{arm}", parents)


def controls(plan: Plan, judge: Judge) -> Artefact:
    """Answers of an arm, spoilt on purpose."""
    assert judge.controls is not None
    arm = judge.controls.arm
    spec = {"arm": arm, "seed": plan.experiment.seed, **_drawn(plan, _tried(judge))}
    # A local judge is a function of its text; asking it again would say nothing.
    spec["again"] = isinstance(plan.catalog.judges[judge.judge], OpenaiJudge)
    parents: Parents = {"responses": plan.arm(arm), "prompts": _prompts(plan, judge, arm)}
    return Artefact("controls", arm, coded(spec, "controls"), parents)


def tried(plan: Plan, judge: Judge) -> list[Artefact]:
    """What a judge says of controls: scores, and duels of an arm with itself."""
    if judge.controls is None:
        return []
    arm = judge.controls.arm
    parents: Parents = {
        "responses": controls(plan, judge),
        "prompts": _prompts(plan, judge, arm),
    }
    name = f"{judge.name}.{arm}.controls"
    rates = rubrics_of(judge, compares=False)
    scored = [_asked(plan, judge, "judgements", name, parents)] if rates else []
    itself = [preferences(plan, judge, arm, arm)] if judge.duels else []
    return [*scored, *itself]


def preferences(plan: Plan, judge: Judge, a: str, b: str) -> Artefact:
    """Which of two arms' answers a judge prefers."""
    parents: Parents = {"a": plan.arm(a), "b": plan.arm(b), "prompts": _prompts(plan, judge, a, b)}
    return _asked(plan, judge, "preferences", f"{judge.name}.{a}-vs-{b}", parents)


def all_of(plan: Plan, judge: Judge) -> Iterator[Artefact]:
    """Every table that a judge fills."""
    if rubrics_of(judge, compares=False):
        yield from (judgements(plan, judge, arm) for arm in judged_arms(plan, judge))
    yield from (preferences(plan, judge, a, b) for a, b in judge.duels)
    yield from tried(plan, judge)


def _asked(plan: Plan, judge: Judge, stage: str, name: str, parents: Parents) -> Artefact:
    entry = plan.catalog.judges[judge.judge]
    compares = stage == "preferences"
    tries = compares and parents["a"] is parents["b"]
    spec: dict[str, Any] = {
        "judge": judge.name,
        "entry": _semantic(entry),
        "rubrics": _resolved(judge, compares),
        **_drawn(plan, _tried(judge) if tries else judge.take),
    }
    if isinstance(entry, LocalJudge):
        spec["engine"] = dump(plan.experiment.engine, {"dtype"})
        parents = {**parents, "model": plan.model(entry.model)}
    signed = coded(spec, stage, f"judge {entry.kind}")
    if not isinstance(entry, OpenaiJudge):
        return Artefact(stage, name, signed, parents)
    runtime = {**entry.model_dump(mode="json", include=RUNTIME), "max_usd": judge.max_usd}
    return Artefact(stage, name, signed, parents, {"runtime": runtime})


def _published(plan: Plan, judge: Judge, entry: PublishedJudge, arm: str) -> Artefact:
    published = next(p for p in plan.experiment.published if p.name == arm)
    sources = entry.judgements[published.responses]
    spec = {
        "judge": judge.name,
        "arm": arm,
        "rubrics": _resolved(judge, False),
        "content": [content(source, plan.catalog) for source in sources],
    }
    # A job opens pinned sources from the spec and local ones from where they lie.
    lies = {"sources": [place(s, plan.catalog).get("source", dump(s)) for s in sources]}
    parents: Parents = {"responses": plan.arm(arm), "prompts": _prompts(plan, judge, arm)}
    signed = coded(spec, "published judgements")
    return Artefact("judgements", f"{judge.name}.{arm}", signed, parents, lies)


def _resolved(judge: Judge, compares: bool) -> list[dict[str, Any]]:
    names = rubrics_of(judge, compares=compares)
    return [resolved_rubric(name, judge.aspects) for name in names]


def _drawn(plan: Plan, take: int | None) -> dict[str, int]:
    """What decides which prompts are judged, if not all are."""
    return {} if take is None else {"take": take, "seed": plan.experiment.seed}


def _semantic(entry: JudgeEntry) -> dict[str, Any]:
    return {key: value for key, value in dump(entry).items() if key not in RUNTIME}


def _tried(judge: Judge) -> int | None:
    """Prompts of each category that controls are made of."""
    assert judge.controls is not None
    takes = [take for take in (judge.take, judge.controls.take) if take is not None]
    return min(takes, default=None)


def datasets_of(plan: Plan, judge: Judge, *arms: str) -> list[str]:
    """The datasets that all of these arms are asked and a judge is to see."""
    asked = [plan.datasets_of(arm) for arm in arms]
    seen = plan.prompts_of(judge.datasets)
    return [p.name for p in seen if all(p.name in datasets for datasets in asked)]


def _prompts(plan: Plan, judge: Judge, *arms: str) -> list[Artefact]:
    # A draw is from all that the judge is to see, so that it is the same for every arm.
    return plan.prompts_of(judge.datasets if judge.take else datasets_of(plan, judge, *arms))
