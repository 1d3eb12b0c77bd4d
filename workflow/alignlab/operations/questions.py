"""How many questions a plan asks, and how long: counted where fetched, else from the catalog.

alignlab check urial-paper                  # tokens that follow from these counts
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from alignlab.core import tables
from alignlab.planning.artefact import Artefact
from alignlab.sources.config import PromptSetConfig

if TYPE_CHECKING:
    from alignlab.experiment.plan import Plan

QUESTION = 400
"""Characters of a typical question."""
UNKNOWN = "regular"
"""Category of rows whose category only the dataset's file says."""


class Question(NamedTuple):
    """A row of a prompts table: its category, and the characters of each turn."""

    category: str
    turns: tuple[int, ...]


def questions(plan: Plan, artefact: Artefact) -> list[Question]:
    """What a table of prompts, mistakes or analysts' questions asks, at most.

    Exact for a table that the store holds. Else every row of the catalog's `rows` that the
    selection may keep, with questions of typical length; nothing for a dataset of unknown size.
    """
    if artefact.stage == "mistakes":
        parents = artefact.parent("prompts")
        return list(chain.from_iterable(questions(plan, parent) for parent in parents))
    if artefact.path.exists():
        rows = tables.rows("prompts", artefact.path)
        return [Question(r["category"], tuple(map(len, r["turns"]))) for r in rows]
    if artefact.stage == "prompts":
        return _selected(plan, PromptSetConfig.model_validate(artefact.slice["selection"]))
    # An analyst reads a question with an answer to it, in a text of about a question's length.
    of = artefact.parent("mistakes") or artefact.parent("prompts")
    found = chain.from_iterable(questions(plan, parent) for parent in of)
    return [Question(q.category, (q.turns[0] + 2 * QUESTION,)) for q in found]


def uncounted(plan: Plan) -> list[str]:
    """Datasets of which neither the store nor the catalog knows how many rows are asked."""
    asked = (a for a in plan if a.stage == "prompts" and not questions(plan, a))
    return sorted({artefact.name for artefact in asked})


def _selected(plan: Plan, chosen: PromptSetConfig) -> list[Question]:
    """Rows of the catalog that a selection keeps at most: `where` and `per` need the rows."""
    entry = plan.catalog.datasets[chosen.dataset]
    rows: Counter[str] = Counter(entry.rows or {})
    if not rows and chosen.take and chosen.per is None:
        rows[entry.category or UNKNOWN] = chosen.take
    kinds = sorted(rows.elements())
    wanted = len(chosen.ids) if chosen.ids else chosen.take if chosen.per is None else None
    # Evenly over the categories: a draw keeps their shares, about.
    kept = kinds if wanted is None or wanted >= len(kinds) else kinds[:: len(kinds) // wanted]
    turns = min(2 if entry.columns and entry.columns.turns else 1, chosen.turns or 2)
    return [Question(category, (QUESTION,) * turns) for category in kept[:wanted]]
