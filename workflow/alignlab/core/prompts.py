"""Every prompt of an experiment by its id, and a check that a table is about no other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from alignlab.core import tables
from alignlab.core.errors import AlignlabError

GONE = "judgements for responses that no longer exist"


def read_prompts(paths: Sequence[Path]) -> pd.DataFrame:
    """`dataset`, `category`, `source`, `turns` and `tags` of every prompt, by its id, sorted.

    `cluster` is a number that prompts share which are not independent, in order of appearance.

    Raises:
        AlignlabError: there are no prompts.
    """
    columns = ["prompt_id", "dataset", "category", "source", "turns", "tags", "cluster"]
    rows = [tables.read("prompts", path).select(columns).to_pandas() for path in paths]
    asked = pd.concat(rows).drop_duplicates("prompt_id").set_index("prompt_id").sort_index()
    if asked.empty:
        raise AlignlabError(f"{', '.join(map(str, paths))}: no prompts, so nothing to summarise")
    names = asked["cluster"].fillna(asked.index.to_series())
    return asked.assign(cluster=pd.factorize(names)[0])


def check_asked(frame: pd.DataFrame, turns: pd.Series, path: Path, why: str) -> None:
    """Check that every row of a table, by `prompt_id` and `turn`, is about a turn that there is.

    Args:
        frame: the table.
        turns: how many turns each prompt has, by its id.
        path: where the table is from.
        why: what is wrong with any other row.

    Raises:
        AlignlabError: there is such a row.
    """
    known = frame["turn"].to_numpy() < turns.reindex(frame["prompt_id"], fill_value=0).to_numpy()
    if not known.all():
        name, turn = frame.loc[~known, ["prompt_id", "turn"]].iloc[0]
        raise AlignlabError(f"{path}: prompt {name!r}, turn {turn}: {why}")
