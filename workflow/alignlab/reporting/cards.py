"""The cards of arms, judges and tuned models: what a report shows of each.

Cards of pairs and studies are `shift.config.PairCard` and `learning.config.StudyCard`, since
statistics need them too.
"""

from __future__ import annotations

from typing import Any, Literal

from alignlab.core.config import StrictModel

# What it says of artefacts is in the specs.
CHANGES_NO_VALUE = True


class ArmCard(StrictModel):
    """An arm.

    Attributes:
        name: its name.
        model: who answers.
        method: its `kind`, and the keys that it has; of answers by others the kind `published`.
        decoding: the keys that it has; empty where the answers are by others.
        role: `base` or `aligned`.
    """

    name: str
    model: str
    method: dict[str, Any]
    decoding: dict[str, Any]
    role: str


class JudgeCard(StrictModel):
    """A judge, whether it scores or only compares.

    Attributes:
        model: who judges; empty where that is not a model.
        judged_self: arms whose model is the judge's own.
    """

    model: str
    judged_self: tuple[str, ...]


class AspectCard(StrictModel):
    """One aspect that one judge rates.

    Attributes:
        metric: `<judge>:<aspect>`.
        judge: its name in the experiment.
        aspect: its name in the rubric.
        rubric: its file.
        label: heading.
        unit: of the mean.
        better: which way is better.
        description: what it means.
        category: prompts that it applies to; None for all.
        model: who judges.
        kind: of judge.
        judged_self: arms whose model is the judge's own.
        min_coverage: share of answers that must be scored for a mean to be shown.
    """

    metric: str
    judge: str
    aspect: str
    rubric: str
    label: str
    unit: str
    better: Literal["higher", "lower", "none"]
    description: str
    category: str | None
    model: str
    kind: str
    judged_self: tuple[str, ...]
    min_coverage: float


class TunedCard(StrictModel):
    """A model that the experiment tunes.

    Attributes:
        name: its name.
        base: the model that is tuned.
        trainset: what it is tuned on.
        trainer: how.
    """

    name: str
    base: str
    trainset: str
    trainer: str
