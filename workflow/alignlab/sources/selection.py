"""Chooses the rows of a dataset that an experiment asks: the same ones on every machine.

    prompts: [{dataset: mt-bench, where: {tags: [writing, math]}, take: 4, per: tags, sample: 0}]

A sample is drawn by `alignlab.core.stable_random`.
"""

from __future__ import annotations

from alignlab.core.errors import AlignlabError
from alignlab.core.stable_random import lot
from alignlab.core.tables import Row
from alignlab.sources.config import PromptSetConfig


def select(rows: list[Row], chosen: PromptSetConfig) -> list[Row]:
    """Rows of the prompts table that `chosen` keeps, in their order, turns truncated.

    A sample takes the rows with the smallest lots: it does not depend on the order of the file, and
    a larger `take` contains a smaller one.

    Raises:
        AlignlabError: an id or value that no row has, or more rows asked for than there are.
    """
    kept = _by_id(rows, chosen) if chosen.ids is not None else rows
    for column, values in chosen.where.items():
        kept = _where(kept, column, values)
    if chosen.distinct:
        first = {tuple(row["turns"]): row for row in reversed(kept)}
        kept = [row for row in kept if first[tuple(row["turns"])] is row]
    if chosen.take is not None:
        kept = _take(kept, chosen)
    elif chosen.per or chosen.sample is not None:
        raise AlignlabError("selection: `per` and `sample` need `take`, the number of rows")
    return [{**row, "turns": row["turns"][: chosen.turns]} for row in kept]


def _by_id(rows: list[Row], chosen: PromptSetConfig) -> list[Row]:
    wanted = set(chosen.ids or ())
    if unknown := sorted(wanted - {row["prompt_id"] for row in rows}):
        raise AlignlabError(
            f"selection.ids: there is no prompt {unknown[0]!r}; ids look like "
            f"{rows[0]['prompt_id']!r}"
        )
    return [row for row in rows if row["prompt_id"] in wanted]


def _where(rows: list[Row], column: str, values: tuple[str, ...]) -> list[Row]:
    there = {value for row in rows for value in _values(row, column)}
    if unknown := [value for value in values if value not in there]:
        raise AlignlabError(
            f"selection.where.{column}: no row has {unknown[0]!r}; "
            f"there are {', '.join(sorted(there))}"
        )
    return [row for row in rows if not set(values).isdisjoint(_values(row, column))]


def _take(rows: list[Row], chosen: PromptSetConfig) -> list[Row]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        # A row without tags is in a group of its own name, the empty one.
        group = next(iter(_values(row, chosen.per)), "") if chosen.per else ""
        groups.setdefault(group, []).append(row)
    taken, seed = set(), chosen.sample
    for group, members in groups.items():
        if len(members) < (chosen.take or 0):
            among = f" with {chosen.per} {group!r}" if chosen.per else ""
            raise AlignlabError(
                f"selection.take: {chosen.take} rows asked for, there are {len(members)}{among}"
            )
        if seed is not None:
            members = sorted(members, key=lambda row: lot(seed, row["prompt_id"]))
        taken |= {row["prompt_id"] for row in members[: chosen.take]}
    return [row for row in rows if row["prompt_id"] in taken]


def _values(row: Row, column: str) -> list[str]:
    value = row[column]
    return value if isinstance(value, list) else [value]
