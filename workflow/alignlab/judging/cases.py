"""What is judged and what a judge says of it: the contract between the judges and their tables.

    snakemake --cores 2 --until judge_responses

A judge's module (`local_judge`, `openai_judge`, `fake_judge`) has `load`, which gives a `Judge`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Status = Literal["scored", "unparseable", "refused", "api_error", "skipped"]
Rubric = Mapping[str, Any]
"""As `experiment.rubrics.resolved_rubric` gives it."""


@dataclass(frozen=True)
class Case:
    """One answer, or two, to one question; `texts` fills the places of the rubric's `case`."""

    prompt_id: str
    turn: int
    sample: int
    texts: Mapping[str, str]


@dataclass(frozen=True)
class Score:
    """What a judge says of one aspect of a case.

    Attributes:
        aspect: name of the aspect.
        status: how it ended; only `scored` has a value.
        value: on the aspect's scale; of a local judge the expected value.
        distribution: probabilities of the scale's words, worst first, summing to 1; null if the
            judge does not give them.
        mass: probability of all those words together, before they are made to sum to 1.
        reason: the judge's reason, or null.
        raw: its reply as it came, or what went wrong.
        cost_usd: this aspect's share of the price; null if unknown.
        seconds: this aspect's share of the time.
    """

    aspect: str
    status: Status
    value: float | None = None
    distribution: tuple[float, ...] | None = None
    mass: float | None = None
    reason: str | None = None
    raw: str | None = None
    cost_usd: float | None = None
    seconds: float = 0.0


class Judge(Protocol):
    """Something that rates cases. A case's scores do not depend on which others there are."""

    def judge(self, rubric: Rubric, cases: Sequence[Case]) -> Iterator[tuple[int, list[Score]]]:
        """Rate cases; yields (index, a score for every aspect, in order) as they are finished.

        Every case is yielded exactly once, whatever went wrong; a failure is a status.
        """
        ...
