"""What judges behind endpoints would cost, before anything is asked.

alignlab check my.yaml                      # a line for every such judge, with `max_usd` beside it
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alignlab.experiment.artefact import Artefact
from alignlab.experiment.judge_entries import OpenaiJudge
from alignlab.experiment.judging import Judge
from alignlab.experiment.plan import Plan
from alignlab.judging.draw import drawn_prompts

CHARACTERS_A_TOKEN = 4
QUESTION = 400
"""Characters of a typical question."""
PUBLISHED = 300
"""Tokens of an answer whose arm's limit is not known."""


def previews(plan: Plan) -> Iterator[str]:
    """A line for every judge that is paid for: calls, tokens and dollars of a first run.

    An estimate: answers are taken to be as long as their arm may make them. What the store holds
    already is asked again only if an answer changed.
    """
    for judge in plan.experiment.judges:
        entry = plan.catalog.judges[judge.judge]
        if isinstance(entry, OpenaiJudge):
            yield f"  {judge.name}: {_described(plan, judge, entry)}"


def _described(plan: Plan, judge: Judge, entry: OpenaiJudge) -> str:
    made = plan.judged[judge.name]
    if any(not prompts.path.exists() for table in made for prompts in table.parent("prompts")):
        return f"{len(made)} tables; what they cost can be said once the prompts are fetched"
    from alignlab.judging.openai import preview  # the openai library takes a second to import

    found = [
        preview(rubric, cases, characters, entry.model_dump(mode="json"))
        for table in made
        for rubric, cases, characters in _asked(table)
    ]
    calls = sum(each.calls for each in found)
    sent = sum(each.prompt_tokens for each in found)
    answered = sum(each.completion_tokens for each in found)
    usd = f"${sum(each.usd or 0 for each in found):.2f}" if entry.price else "price unknown"
    limit = f", at most ${judge.max_usd:g} a table" if judge.max_usd else ""
    tokens = f"{sent / 1e3:,.0f}k tokens sent, {answered / 1e3:,.0f}k answered"
    return f"about {calls:,} calls of {entry.model}, {tokens}, {usd}{limit}"


def _asked(table: Artefact) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Every rubric of a table with its cases, and the characters of a typical one."""
    two = 2 if table.stage == "preferences" else 1
    answers = table.parent("responses") or table.parent("a")
    spoilt = answers[0].stage == "controls"
    drawn = answers[0].slice if spoilt else table.slice
    arm = (answers[0].parent("responses") if spoilt else answers)[0]
    decoding = arm.slice.get("decoding", {"max_new_tokens": PUBLISHED, "samples": 1})
    prompts = [prompts.path for prompts in table.parent("prompts")]
    rows = drawn_prompts(prompts, drawn.get("take"), drawn.get("seed", 0)).values()
    # Controls are first turns, up to five of each; a duel is of first samples, in both orders.
    times = 5 if spoilt else 2 if two == 2 else decoding.get("samples", 1)
    turns = [(row["category"], 1 if spoilt else len(row["turns"])) for row in rows]
    for rubric in table.slice["rubrics"]:
        fitting = sum(n for category, n in turns if rubric["category"] in (None, category))
        characters = CHARACTERS_A_TOKEN * decoding["max_new_tokens"]
        yield rubric, fitting * times, QUESTION + two * characters
