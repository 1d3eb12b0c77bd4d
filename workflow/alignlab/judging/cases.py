"""What is judged, as a judge reads it, and its scores: between the judges and their tables.

    python -m alignlab.judging.cases judge/quality      # what a judge reads, with a toy case

The module of a judge (`local_judge`, `openai_judge`, `fake_judge`) has a function `load`, which
makes a `Judge` from a `JudgeJob`. The constant instructions come first, then the case, then the
question: a local judge computes the first once for a table, the second once for all aspects.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from pydantic import Field

from alignlab.core import tables
from alignlab.core.stable_random import lot
from alignlab.core.tables import Row
from alignlab.core.templates import fill
from alignlab.endpoints.config import EndpointPlace
from alignlab.engines.config import Computing
from alignlab.judging.config import AnyJudge, ResolvedAspect, ResolvedRubric, resolved_rubric
from alignlab.planning.artefact import Job, Spec

Status = Literal["scored", "unparseable", "refused", "api_error", "skipped"]


class JudgeSpec(Spec):
    """What a table is made of that a judge fills.

    Attributes:
        judge: its name in the experiment.
        entry: the catalog's. What changes no score stands in `EndpointPlace`, not here.
        rubrics: by which it judges.
        engine: of a local judge; None for others.
        take: prompts of each category that are judged; all if None. More contain fewer.
        seed: decides which.
    """

    judge: str
    entry: AnyJudge
    rubrics: tuple[ResolvedRubric, ...]
    engine: Computing | None = None
    take: int | None = None
    seed: int = 0


class JudgeJob(Job):
    """What a job is given that puts cases before a judge.

    Attributes:
        table: what it makes, which is also the name of its stage.
        prompts: prompts tables; answers to other prompts are left out.
        model: folder of a local judge's model; None for others.
        batch_size: cases that a judge takes at once.
        attempt: number of the attempt at an endpoint's table.
    """

    table: ClassVar[Literal["judgements", "preferences"]]
    spec: JudgeSpec
    place: EndpointPlace = EndpointPlace()
    aside: Path
    replies: Path
    note: Path
    prompts: tuple[Path, ...]
    model: Path | None = None
    batch_size: int = Field(gt=0)
    attempt: int = 1


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
        repaired: whether the score was read out of another form than was asked for.
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
    repaired: bool = False


class Judge(Protocol):
    """Something that rates cases. A case's scores do not depend on which others there are."""

    def judge(
        self, rubric: ResolvedRubric, cases: Sequence[Case]
    ) -> Iterator[tuple[int, list[Score]]]:
        """Rate cases; yields (index, a score for every aspect, in order) as they are finished.

        Every case is yielded exactly once, whatever went wrong; a failure is a status.
        """
        ...


def drawn_prompts(paths: Sequence[Path], take: int | None, seed: int) -> dict[str, Row]:
    """Rows of prompts tables by prompt id: `take` of each category, or all; more contain fewer."""
    rows = [row for path in paths for row in tables.rows("prompts", path)]
    kinds: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        kinds[row["category"]].append(row["prompt_id"])
    taken = {
        prompt_id
        for ids in kinds.values()
        for prompt_id in sorted(ids, key=lambda each: lot(seed, "draw", each))[:take]
    }
    return {row["prompt_id"]: row for row in rows if row["prompt_id"] in taken}


def instructions(rubric: ResolvedRubric) -> str:
    """What the judge reads once, with every aspect's meaning and levels."""
    listed = "\n".join(_described(aspect) for aspect in rubric["aspects"])
    return fill(rubric["instructions"], {"aspects": listed})


def case_text(rubric: ResolvedRubric, case: Case) -> str:
    """The case as the judge sees it."""
    return fill(rubric["case"], case.texts)


def question(rubric: ResolvedRubric, aspect: ResolvedAspect) -> str:
    """What a local judge is asked about one aspect."""
    scale = f"{', '.join(aspect['says'][:-1])} or {aspect['says'][-1]}"
    named = {"aspect": aspect["label"], "meaning": aspect["meaning"], "scale": scale}
    return fill(rubric["ask"], named)


def message(rubric: ResolvedRubric, case: Case, aspect: ResolvedAspect) -> str:
    """All that a local judge reads before it rates one aspect; only the end names the aspect."""
    parts = (instructions(rubric), case_text(rubric, case), question(rubric, aspect))
    return "\n\n".join(part.strip() for part in parts)


def _described(aspect: ResolvedAspect) -> str:
    levels = [f"  {say}: {text}" for say, text in aspect["levels"].items()]
    return "\n".join([f"- {aspect['label']}: {aspect['meaning']}", *levels])


if __name__ == "__main__":
    chosen = resolved_rubric(sys.argv[1])
    toy = {place: f"<{place}>" for place in ("query", "answer", "answer_a", "answer_b")}
    case = Case("toy/1", 0, 0, {**toy, "conversation": "", "reference": ""})
    asked = [question(chosen, aspect) for aspect in chosen["aspects"]]
    print(instructions(chosen), case_text(chosen, case), *asked, sep="\n")
