"""What judges cost before anything is asked: an estimate by the length of what they read.

alignlab check my.yaml                      # a line for every judge that is paid
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from alignlab.endpoints.config import EndpointConfig
from alignlab.judging.config import ApiJudgeConfig
from alignlab.judging.rubrics import ResolvedRubric
from alignlab.planning.artefact import Artefact
from alignlab.planning.forecast import (
    CHARACTERS_A_TOKEN,
    QUESTION,
    ROW,
    UNKNOWN_ANSWER,
    Cost,
    Question,
    Speeds,
    Task,
)

# A forecast changes no value.
CHANGES_NO_VALUE = True

# just-eval's replies hold about 326 tokens for five aspects.
TOKENS_AN_ASPECT = 65


class Estimate(NamedTuple):
    """What judging would take; dollars are null without a price."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None


def judge_task(table: str) -> Callable[[dict[str, Any]], Task | None]:
    """The task of a table that a local judge filled; None of other judges'."""
    return partial(_task, table)


def _task(table: str, spec: Mapping[str, Any]) -> Task | None:
    dtype = spec.get("engine", {}).get("dtype")
    return Task(table, spec["entry"]["model"], "transformers", dtype) if dtype else None


def judge_cost(artefact: Artefact, speeds: Speeds) -> Cost:
    """What one table of judgements or preferences costs; a fake judge's costs nothing."""
    entry, size = artefact.facts
    if isinstance(entry, EndpointConfig):
        found = paid(artefact)
        usd = None if any(each.usd is None for each in found) else sum(e.usd or 0 for e in found)
        read = sum(each.prompt_tokens for each in found)
        written = sum(each.completion_tokens for each in found)
        disk = 2 * ROW * sum(each.calls for each in found)
        return Cost(artefact.stage, read, written, usd=usd, disk=disk)
    return _local(artefact, speeds) if size else Cost(artefact.stage, disk=ROW)


def paid(artefact: Artefact) -> list[Estimate]:
    """What each rubric of a table costs that an endpoint fills."""
    return [estimate(*asked, artefact.facts[0]) for asked in _asked(artefact)]


def estimate(
    rubric: ResolvedRubric, cases: int, case_characters: int, entry: ApiJudgeConfig
) -> Estimate:
    """Calls, tokens and dollars: 4 characters a token, 65 tokens an aspect of a reply.

    Args:
        rubric: as a judge reads it.
        cases: how many there are; each is one call.
        case_characters: of a typical question with its answer, or two.
        entry: a judge of the catalog.
    """
    # The openai library takes a second to import.
    from alignlab.judging.openai_judge import fixed_text

    characters = len(fixed_text(rubric, entry.structured)) + case_characters
    sent = cases * (characters // CHARACTERS_A_TOKEN)
    answered = cases * min(entry.max_tokens, TOKENS_AN_ASPECT * len(rubric["aspects"]))
    price = entry.price
    usd = (sent * price.prompt + answered * price.completion) / 10**6 if price else None
    return Estimate(cases, sent, answered, usd)


def _local(artefact: Artefact, speeds: Speeds) -> Cost:
    """A local judge reads a case once for each aspect, and writes a reason if it is to."""
    entry, size = artefact.facts
    read = written = scores = 0
    for rubric, cases, characters in _asked(artefact):
        told = len(rubric["instructions"]) + characters
        scores += cases * len(rubric["aspects"])
        read += cases * len(rubric["aspects"]) * (told // CHARACTERS_A_TOKEN)
        written += cases * len(rubric["aspects"]) * entry.writes
    dtype = artefact.slice["engine"]["dtype"]
    context = read // max(scores, 1)
    guessed = speeds.roofline(size, dtype, read=read, written=written, context=context)
    task = _task(artefact.stage, artefact.slice)
    seconds = speeds.seconds(task, scores, size.gpus, guessed)
    return Cost(artefact.stage, read, written, *seconds, disk=ROW * scores)


def _asked(artefact: Artefact) -> Iterator[tuple[ResolvedRubric, int, int]]:
    """Every rubric of a table with its cases, and the characters of a typical one."""
    compares = "a" in artefact.parents
    answers = (artefact.parent("a") or artefact.parent("responses"))[0]
    spoilt = answers.stage == "controls"
    drawn = answers.slice if spoilt else artefact.slice
    arm = answers.parent("responses")[0] if spoilt else answers
    decoding = arm.slice.get("decoding", {"max_new_tokens": UNKNOWN_ANSWER, "samples": 1})
    rows = _drawn(artefact.parent("prompts"), drawn)
    # Controls are first turns, up to five of each; a duel is of first samples, in both orders.
    times = 5 if spoilt else 2 if compares else decoding.get("samples", 1)
    turns = [(row.category, 1 if spoilt else len(row.turns)) for row in rows]
    for rubric in artefact.slice["rubrics"]:
        fitting = sum(n for category, n in turns if rubric["category"] in (None, category))
        characters = CHARACTERS_A_TOKEN * decoding["max_new_tokens"]
        yield rubric, fitting * times, QUESTION + (2 if compares else 1) * characters


def _drawn(prompts: Sequence[Artefact], drawn: Mapping[str, Any]) -> list[Question]:
    """The questions that are judged: the draw itself if all are fetched, else as many."""
    take = drawn.get("take")
    if all(table.path.exists() for table in prompts):
        from alignlab.judging.cases import drawn_prompts

        rows = drawn_prompts([table.path for table in prompts], take, drawn.get("seed", 0))
        return [Question(r["category"], tuple(map(len, r["turns"]))) for r in rows.values()]
    found = [question for table in prompts for question in table.questions()]
    kinds = {question.category for question in found}
    return [q for kind in sorted(kinds) for q in [q for q in found if q.category == kind][:take]]
