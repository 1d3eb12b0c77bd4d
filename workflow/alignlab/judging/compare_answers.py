"""Lets a judge choose between two arms' answers, in both orders: the table `preferences`.

Judges lean towards what is shown first or last (Zheng et al. 2023, arXiv 2306.05685, §3.3), so a
verdict counts only if it is the same in both orders; else the outcome is `inconsistent`. An arm
against itself shows how far a judge leans.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import ClassVar

from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.judging.cases import Case, JudgeJob, Score, drawn_prompts
from alignlab.judging.config import ResolvedAspect, ResolvedRubric
from alignlab.judging.score_answers import (
    AnswerToJudge,
    Finished,
    applying,
    as_case,
    asked,
    listed,
    not_made,
    read_answers,
)
from alignlab.metrics.words import count_words


class PreferencesJob(JudgeJob):
    """What `compare_responses` is given, with rubrics that compare.

    Attributes:
        a: responses of one arm.
        b: responses of the other arm; may be the same.
        prompts: prompts tables; prompts of others, and what only one arm was asked, are left out.
        output: the table of preferences.
    """

    table: ClassVar = "preferences"
    a: Path
    b: Path


def compare_responses(job: PreferencesJob) -> None:
    """Write what a judge prefers: first samples of two arms, the same question, the same turn.

    Raises:
        AlignlabError: the arms were not asked one prompt in common, or no pair got a verdict.
    """
    known = drawn_prompts(job.prompts, job.spec.take, job.spec.seed)
    pairs = _pairs(read_answers(job.a, known), read_answers(job.b, known))
    if not pairs:
        asked_of = f"no answers to the same prompt of {listed(job.prompts)}"
        raise AlignlabError(f"{job.a} and {job.b}: {asked_of}")
    finished = Finished(job, known)
    left: dict[str, list[PairOfAnswers]] = {rubric["name"]: [] for rubric in job.spec.rubrics}
    for pair in pairs:
        for rubric in applying(job.spec.rubrics, pair.a.prompt):
            due = finished.lacks({**pair.a.row, "rubric": rubric["name"]})
            if not (pair.a.made and pair.b.made):
                skipped = not_made(rubric, pair.a, pair.b)
                finished.give_up(_rows(job.spec.judge, pair, rubric, skipped, skipped))
            elif due:
                left[rubric["name"]].append(pair)
    for rubric, pair, ab, ba in _in_both_orders(job, left):
        finished.add(_rows(job.spec.judge, pair, rubric, ab, ba))
    finished.write(f"{pairs[0].a.row['arm']} against {pairs[0].b.row['arm']}")


def _in_both_orders(
    job: PreferencesJob, left: Mapping[str, Sequence[PairOfAnswers]]
) -> Iterator[tuple[ResolvedRubric, PairOfAnswers, list[Score], list[Score]]]:
    """What a judge says of each rubric's pairs, a shown first and b shown first."""
    cases = {name: [case for pair in ps for case in pair.orders()] for name, ps in left.items()}
    halves: dict[tuple[str, int], list[Score]] = {}
    for rubric, at, scores in asked(job, cases):
        name, number = rubric["name"], at // 2
        halves[name, at] = scores
        both = [(name, 2 * number), (name, 2 * number + 1)]
        if all(half in halves for half in both):
            ab, ba = (halves.pop(half) for half in both)
            yield rubric, left[name][number], ab, ba


@dataclass(frozen=True)
class PairOfAnswers:
    """Two arms' answers to one question."""

    a: AnswerToJudge
    b: AnswerToJudge

    def orders(self) -> tuple[Case, Case]:
        """Both orders: a's answer shown first, then b's."""
        return (
            as_case({"answer_a": self.a, "answer_b": self.b}),
            as_case({"answer_a": self.b, "answer_b": self.a}),
        )


def outcome(ab: str | None, ba: str | None) -> str | None:
    """What two verdicts come to, each `a`, `b` or `tie` whatever the order; null without both."""
    if ab is None or ba is None:
        return None
    return ab if ab == ba else "inconsistent"


def preferred(aspect: ResolvedAspect, score: Score) -> float | None:
    """1 for the answer shown first, 0 for the second, in between for a tie; null if not scored.

    Of a distribution the likeliest word is taken, as the judge would have said it: an expected
    value is hardly ever exactly a tie.
    """
    if score.status != "scored" or not score.distribution:
        return score.value
    top = max(score.distribution)
    chances = zip(aspect["values"], score.distribution, strict=True)
    return fmean(value for value, chance in chances if chance == top)


def _verdict(value: float | None, first: str, second: str) -> str | None:
    if value is None:
        return None
    if value == 0.5:
        return "tie"
    return first if value > 0.5 else second


def _pairs(a: list[AnswerToJudge], b: list[AnswerToJudge]) -> list[PairOfAnswers]:
    """First samples of the same prompt and turn, in the order of `a`."""
    others = {(x.row["prompt_id"], x.row["turn"]): x for x in b if x.row["sample"] == 0}
    keys = [(x.row["prompt_id"], x.row["turn"]) for x in a]
    found = [(x, others.get(key)) for x, key in zip(a, keys, strict=True) if x.row["sample"] == 0]
    return [PairOfAnswers(x, other) for x, other in found if other]


def _rows(
    judge: str, pair: PairOfAnswers, rubric: ResolvedRubric, ab: list[Score], ba: list[Score]
) -> list[Row]:
    scores = zip(rubric["aspects"], ab, ba, strict=True)
    return [_row(judge, pair, rubric, *found) for found in scores]


def _row(
    judge: str,
    pair: PairOfAnswers,
    rubric: ResolvedRubric,
    aspect: ResolvedAspect,
    ab: Score,
    ba: Score,
) -> Row:
    verdict_ab = _verdict(preferred(aspect, ab), "a", "b")
    verdict_ba = _verdict(preferred(aspect, ba), "b", "a")
    known = ab.cost_usd is not None and ba.cost_usd is not None
    return {
        "judge": judge,
        "arm_a": pair.a.row["arm"],
        "arm_b": pair.b.row["arm"],
        "prompt_id": pair.a.row["prompt_id"],
        "turn": pair.a.row["turn"],
        "rubric": rubric["name"],
        "aspect": aspect["name"],
        "verdict_ab": verdict_ab,
        "verdict_ba": verdict_ba,
        "outcome": outcome(verdict_ab, verdict_ba),
        "status": ba.status if ab.status == "scored" else ab.status,
        "score_ab": ab.value,
        "score_ba": None if ba.value is None else 1 - ba.value,
        "words_a": count_words(pair.a.row["text"]),
        "words_b": count_words(pair.b.row["text"]),
        "raw_ab": ab.raw,
        "raw_ba": ba.raw,
        "repaired": ab.repaired or ba.repaired,
        "cost_usd": (ab.cost_usd or 0) + (ba.cost_usd or 0) if known else None,
        "seconds": ab.seconds + ba.seconds,
    }
