"""What judges would cost, before anything is asked.

alignlab check my.yaml                      # a line for every judge that is paid
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from alignlab.experiment.plan import Plan
from alignlab.judging.config import ApiJudgeConfig, JudgeConfig
from alignlab.judging.draw import drawn_prompts
from alignlab.operations.costs import CHARACTERS_A_TOKEN, PUBLISHED, ROW, Cost, Costing
from alignlab.operations.questions import QUESTION, Question, questions
from alignlab.operations.throughput import task_of
from alignlab.planning.artefact import Artefact


def previews(plan: Plan) -> Iterator[str]:
    """A line for every judge that is paid for: calls, tokens and dollars of a first run.

    An estimate: answers are taken to be as long as their arm may make them. What the store holds
    already is asked again only if an answer changed.
    """
    for judge in plan.experiment.judges:
        entry = plan.catalog.judges[judge.judge]
        if isinstance(entry, ApiJudgeConfig):
            yield f"  {judge.name}: {_described(plan, judge, entry)}"


def judge_cost(costing: Costing, table: Artefact) -> Cost:
    """What one table of judgements or preferences costs; published and fake judges cost nothing."""
    entry = table.slice.get("entry", {"kind": "published"})
    if entry["kind"] == "openai":
        found = _paid(costing.plan, table)
        usd = None if any(f.usd is None for f in found) else sum(f.usd or 0 for f in found)
        read, written = (
            sum(getattr(f, f"{side}_tokens") for f in found) for side in ("prompt", "completion")
        )
        disk = 2 * ROW * sum(f.calls for f in found)
        return Cost(table.stage, read, written, usd=usd, disk=disk)
    if entry["kind"] == "local":
        return _local(costing, table, entry)
    return Cost(table.stage, disk=ROW)


def _local(costing: Costing, table: Artefact, entry: dict[str, Any]) -> Cost:
    """A local judge reads a case once for each aspect, and writes a reason if it is to."""
    read = written = scores = 0
    for rubric, cases, characters in _asked(costing.plan, table):
        told = len(rubric["instructions"]) + characters
        scores += cases * len(rubric["aspects"])
        read += cases * len(rubric["aspects"]) * (told // CHARACTERS_A_TOKEN)
        written += cases * len(rubric["aspects"]) * entry["reason_tokens"]
    dtype, model = table.slice["engine"]["dtype"], entry["model"]
    guessed = costing.roofline(model, dtype, read, written, read // max(scores, 1))
    seconds = costing.seconds(task_of(table.stage, table.slice), scores, model, guessed)
    return Cost(table.stage, read, written, *seconds, disk=ROW * scores)


def _described(plan: Plan, judge: JudgeConfig, entry: ApiJudgeConfig) -> str:
    made = plan.judged[judge.name]
    found = [each for table in made for each in _paid(plan, table)]
    if not found or not any(each.calls for each in found):
        return f"{len(made)} tables; what they cost can be said once the prompts are fetched"
    calls = sum(each.calls for each in found)
    sent = sum(each.prompt_tokens for each in found)
    answered = sum(each.completion_tokens for each in found)
    usd = f"${sum(each.usd or 0 for each in found):.2f}" if entry.price else "price unknown"
    limit = f", at most ${judge.max_usd:g} a table" if judge.max_usd else ""
    tokens = f"{sent / 1e3:,.0f}k tokens sent, {answered / 1e3:,.0f}k answered"
    return f"about {calls:,} calls of {entry.model}, {tokens}, {usd}{limit}"


def _paid(plan: Plan, table: Artefact) -> Sequence[Any]:
    """A preview for every rubric of a table, by the price of its judge."""
    from alignlab.judging.openai_judge import preview  # the openai library takes a second to import

    judge = next(j for j in plan.experiment.judges if j.name == table.slice["judge"])
    entry = plan.catalog.judges[judge.judge].model_dump(mode="json")
    return [preview(*asked, entry) for asked in _asked(plan, table)]


def _asked(plan: Plan, table: Artefact) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Every rubric of a table with its cases, and the characters of a typical one."""
    two = 2 if table.stage == "preferences" else 1
    answers = table.parent("responses") or table.parent("a")
    spoilt = answers[0].stage == "controls"
    drawn = answers[0].slice if spoilt else table.slice
    arm = (answers[0].parent("responses") if spoilt else answers)[0]
    decoding = arm.slice.get("decoding", {"max_new_tokens": PUBLISHED, "samples": 1})
    rows = _drawn(plan, table.parent("prompts"), drawn)
    # Controls are first turns, up to five of each; a duel is of first samples, in both orders.
    times = 5 if spoilt else 2 if two == 2 else decoding.get("samples", 1)
    turns = [(row.category, 1 if spoilt else len(row.turns)) for row in rows]
    for rubric in table.slice["rubrics"]:
        fitting = sum(n for category, n in turns if rubric["category"] in (None, category))
        characters = CHARACTERS_A_TOKEN * decoding["max_new_tokens"]
        yield rubric, fitting * times, QUESTION + two * characters


def _drawn(plan: Plan, prompts: Sequence[Artefact], drawn: dict[str, Any]) -> list[Question]:
    """The questions that are judged: the draw itself if all are fetched, else as many."""
    take = drawn.get("take")
    if all(table.path.exists() for table in prompts):
        rows = drawn_prompts([table.path for table in prompts], take, drawn.get("seed", 0))
        return [Question(r["category"], tuple(map(len, r["turns"]))) for r in rows.values()]
    found = [question for table in prompts for question in questions(plan, table)]
    kinds = {question.category for question in found}
    return [q for kind in sorted(kinds) for q in [q for q in found if q.category == kind][:take]]
