"""Judges at work as artefacts: controls, judgements, preferences, and what judges are worth.

alignlab check demo                         # print the artefacts that these functions give
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignlab.core.config import dump
from alignlab.endpoints.config import RUNTIME, EndpointConfig
from alignlab.judging.config import (
    AnyJudge,
    JudgeConfig,
    judge_unit,
)
from alignlab.judging.costs import judge_cost, judge_task
from alignlab.judging.rubrics import ResolvedRubric, resolved_rubric, rubrics_of
from alignlab.planning.artefact import Artefact, Progress, Stage
from alignlab.planning.config import RuntimeConfig
from alignlab.planning.forecast import PROMPT_TOKENS, Need, need, need_of_calls
from alignlab.planning.versions import Unit
from alignlab.sources.config import FileSource
from alignlab.sources.stages import UsedModel

# What it says of artefacts is in the specs.
CHANGES_NO_VALUE = True


@dataclass(frozen=True)
class UsedJudge:
    """A judge of the catalog at work in an experiment.

    Attributes:
        config: what it is to do.
        entry: the catalog's.
        model: what a local judge asks; None for others.
        dtype: of computing, for a local judge.
        seed: of what it draws.
    """

    config: JudgeConfig
    entry: AnyJudge
    model: UsedModel | None
    dtype: str
    seed: int

    def draw(self, take: int | None) -> dict[str, int]:
        """What decides which prompts are judged, if not all are."""
        return {} if take is None else {"take": take, "seed": self.seed}

    @property
    def tried_on(self) -> int | None:
        """Prompts of each category that controls are made of."""
        assert self.config.controls is not None
        takes = [take for take in (self.config.take, self.config.controls.take) if take is not None]
        return min(takes, default=None)


def judgements(
    judge: UsedJudge, arm: str, responses: Artefact, prompts: Sequence[Artefact]
) -> Artefact:
    """A judge's scores of an arm's answers."""
    name = f"{judge.config.name}.{arm}"
    return _asked(JUDGEMENTS, judge, name, {"responses": responses, "prompts": prompts})


def published(
    judge: UsedJudge,
    arm: str,
    sources: Sequence[FileSource],
    responses: Artefact,
    prompts: Sequence[Artefact],
) -> Artefact:
    """Judgements that somebody else made of an arm's answers."""
    spec = {
        "judge": judge.config.name,
        "arm": arm,
        "rubrics": _resolved(judge.config, False),
        "content": [source.content({}) for source in sources],
    }
    # A job opens pinned sources from the spec and local ones from where they lie.
    lies = {"sources": [source.place({}).get("source", dump(source)) for source in sources]}
    parents: dict[str, Any] = {"responses": responses, "prompts": prompts}
    return Artefact(PUBLISHED_JUDGEMENTS, f"{judge.config.name}.{arm}", spec, parents, lies)


def controls(judge: UsedJudge, responses: Artefact, prompts: Sequence[Artefact]) -> Artefact:
    """Answers of an arm, spoilt on purpose."""
    assert judge.config.controls is not None
    arm = judge.config.controls.arm
    spec = {"arm": arm, "seed": judge.seed, **judge.draw(judge.tried_on)}
    # A local judge is a function of its text; asking it again would say nothing.
    spec["again"] = isinstance(judge.entry, EndpointConfig)
    return Artefact(CONTROLS, arm, spec, {"responses": responses, "prompts": prompts})


def tried(judge: UsedJudge, made: Artefact, prompts: Sequence[Artefact]) -> Artefact:
    """A judge's scores of controls."""
    name = f"{judge.config.name}.{made.name}.controls"
    return _asked(JUDGEMENTS, judge, name, {"responses": made, "prompts": prompts})


def preferences(
    judge: UsedJudge, arms: Mapping[str, Artefact], prompts: Sequence[Artefact]
) -> Artefact:
    """Which of two arms' answers a judge prefers; of one arm against itself if it is tried.

    Args:
        judge: with rubrics that compare.
        arms: `a` and `b`.
        prompts: what both arms were asked and the judge is to see.
    """
    a, b = arms["a"], arms["b"]
    name = f"{judge.config.name}.{a.name}-vs-{b.name}"
    return _asked(PREFERENCES, judge, name, {**arms, "prompts": prompts})


def qualification(
    experiment: str, spec: Mapping[str, Any], parents: Mapping[str, Any], home: Path
) -> Artefact:
    """The tables `qualification` and `winrates`: what judges are worth, and whom they prefer.

    Args:
        experiment: its name.
        spec: `seed`; of each judge `needs` (rubric → aspect → controls that it must notice) and
            `min_coverage`; `arms`, the ones that are judged.
        parents: `controls`, `judgements` and `preferences`, each judge → its tables; `responses`
            by arm; `prompts`.
        home: the folder of the experiment's tables.
    """
    return Artefact(
        QUALIFICATION, experiment, {"experiment": experiment, **spec}, parents, home=home
    )


def _asked(stage: Stage, judge: UsedJudge, name: str, parents: Mapping[str, Any]) -> Artefact:
    compares = stage is PREFERENCES
    tries = compares and parents["a"] is parents["b"]
    spec: dict[str, Any] = {
        "judge": judge.config.name,
        "entry": {key: value for key, value in dump(judge.entry).items() if key not in RUNTIME},
        "rubrics": _resolved(judge.config, compares),
        **judge.draw(judge.tried_on if tries else judge.config.take),
    }
    lies = {}
    if judge.model:
        spec["engine"] = {"dtype": judge.dtype}
        parents = {**parents, "model": judge.model.artefacts["model"]}
    if isinstance(judge.entry, EndpointConfig):
        told = judge.entry.model_dump(mode="json", include=RUNTIME)
        lies = {"runtime": {**told, "max_usd": judge.config.max_usd}}
    size = judge.model.size if judge.model else None
    return Artefact(
        stage, name, spec, parents, lies, (judge_unit(judge.entry.kind),), (judge.entry, size)
    )


def _resolved(judge: JudgeConfig, compares: bool) -> list[ResolvedRubric]:
    names = rubrics_of(judge, compares=compares)
    return [resolved_rubric(name, judge.aspects) for name in names]


def _needs(artefact: Artefact, runtime: RuntimeConfig, attempt: int) -> Need:
    """Judges that are no local model need no GPU."""
    entry, size = artefact.facts
    if not size:
        return need_of_calls(attempt)
    dtype = artefact.slice["engine"]["dtype"]
    tokens = runtime.batch_size * (PROMPT_TOKENS + entry.writes)
    return need([size.weights(dtype)], size.cache(dtype, tokens), attempt=attempt)


CONTROLS = Stage(
    name="controls",
    table="responses",
    units=(Unit("controls", "alignlab.judging.controls"),),
)
JUDGEMENTS = Stage(
    name="judgements",
    table="judgements",
    units=(Unit("judgements", "alignlab.judging.score_answers"),),
    needs=_needs,
    cost=judge_cost,
    progress=Progress(judge_task("judgements")),
)
PREFERENCES = Stage(
    name="preferences",
    table="preferences",
    units=(Unit("preferences", "alignlab.judging.compare_answers"),),
    needs=_needs,
    cost=judge_cost,
    progress=Progress(judge_task("preferences")),
)
PUBLISHED_JUDGEMENTS = Stage(
    name="judgements",
    table="judgements",
    units=(Unit("published judgements", "alignlab.sources.judgements"),),
)
QUALIFICATION = Stage(
    name="qualification",
    table="qualification",
    units=(
        Unit("qualification", "alignlab.judging.qualification"),
        Unit("win rates", "alignlab.judging.winrates"),
    ),
)
