"""What judges would cost, before anything is asked.

alignlab check my.yaml                      # a line for every judge that is paid
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from alignlab.experiment.plan import Plan
from alignlab.judging.cases import drawn_prompts
from alignlab.judging.config import AnyJudge, ApiJudgeConfig, JudgeConfig
from alignlab.operations.costs import (
    CHARACTERS_A_TOKEN,
    PUBLISHED,
    QUESTION,
    ROW,
    Cost,
    Costing,
    Question,
    dollars,
    questions,
)
from alignlab.operations.throughput import task_of
from alignlab.planning.artefact import Artefact

# just-eval's replies hold about 326 tokens for five aspects.
TOKENS_AN_ASPECT = 65


class Calls(NamedTuple):
    """Calls of an endpoint, and tokens that are sent and answered in all of them."""

    number: int
    sent: int
    answered: int


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
    entry = _entry(costing.plan, table)
    if isinstance(entry, ApiJudgeConfig):
        made = _calls(costing.plan, table, entry)
        usd = dollars(entry.price, made.sent, made.answered)
        return Cost(table.stage, made.sent, made.answered, usd=usd, disk=2 * ROW * made.number)
    return _loaded(costing, table, entry) if entry.loads else Cost(table.stage, disk=ROW)


def _entry(plan: Plan, table: Artefact) -> AnyJudge:
    """The judge of the catalog that fills a table."""
    judge = next(j for j in plan.experiment.judges if j.name == table.slice["judge"])
    return plan.catalog.judges[judge.judge]


def _loaded(costing: Costing, table: Artefact, entry: AnyJudge) -> Cost:
    """A judge that is loaded reads a case once for each aspect, and writes a reason if it is to."""
    assert entry.loads
    read = written = scores = 0
    for rubric, cases, characters in _asked(costing.plan, table):
        told = len(rubric["instructions"]) + characters
        scores += cases * len(rubric["aspects"])
        read += cases * len(rubric["aspects"]) * (told // CHARACTERS_A_TOKEN)
        written += cases * len(rubric["aspects"]) * entry.writes
    dtype, model = table.slice["engine"]["dtype"], entry.loads
    guessed = costing.roofline(model, dtype, read, written, read // max(scores, 1))
    seconds = costing.seconds(task_of(table.stage, table.slice), scores, model, guessed)
    return Cost(table.stage, read, written, *seconds, disk=ROW * scores)


def _described(plan: Plan, judge: JudgeConfig, entry: ApiJudgeConfig) -> str:
    made = plan.judged[judge.name]
    found = _sum([_calls(plan, table, entry) for table in made])
    if not found.number:
        return f"{len(made)} tables; what they cost can be said once the prompts are fetched"
    usd = dollars(entry.price, found.sent, found.answered)
    paid = "price unknown" if usd is None else f"${usd:.2f}"
    limit = f", at most ${judge.max_usd:g} a table" if judge.max_usd else ""
    tokens = f"{found.sent / 1e3:,.0f}k tokens sent, {found.answered / 1e3:,.0f}k answered"
    return f"about {found.number:,} calls of {entry.model}, {tokens}, {paid}{limit}"


def _calls(plan: Plan, table: Artefact, entry: ApiJudgeConfig) -> Calls:
    return _sum([calls(*asked, entry) for asked in _asked(plan, table)])


def calls(
    rubric: Mapping[str, Any], cases: int, case_characters: int, entry: ApiJudgeConfig
) -> Calls:
    """Estimate calls and tokens: 4 characters a token, 65 tokens an aspect of a reply.

    Args:
        rubric: as `resolved_rubric` gives it.
        cases: how many there are; each is one call.
        case_characters: of a typical question with its answer, or two.
        entry: the judge.
    """
    # By name, as it is loaded: the openai library takes a second to import.
    told = import_module(f"alignlab.judging.{entry.kind}_judge").told(rubric, entry.structured)
    reply = min(entry.max_tokens, TOKENS_AN_ASPECT * len(rubric["aspects"]))
    sent = (len(told) + case_characters) // CHARACTERS_A_TOKEN
    return Calls(cases, cases * sent, cases * reply)


def _sum(found: Sequence[Calls]) -> Calls:
    return Calls(*(sum(each[place] for each in found) for place in range(3)))


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
