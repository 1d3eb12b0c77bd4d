"""Means by tag, source, category and turn: where an arm is good, and where it is not.

    snakemake --cores 2 results/demo/tables/breakdown.parquet

Groups are small and many, so they are for looking and not for testing; just-eval's tasks and topics
(URIAL, arXiv 2312.01552 §4.1) are tags. A prompt counts in the group of each of its tags.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from alignlab.core import tables
from alignlab.reporting.arms.values import Values, mean_rows, scales
from alignlab.statistics.arrays import Mask

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 2
"""Prompts with a value that a row needs."""


def breakdown_rows(values: Values, asked: pd.DataFrame, seed: int) -> Iterator[tables.Row]:
    """Rows of the table `breakdown`: every arm, metric and group with two prompts or more.

    Means, intervals, coverage and what is refused as in `summarise.summarise`. Something that all
    prompts share, such as their only category, is no group.

    Args:
        values: every value of the experiment.
        asked: its prompts in the same order, as `values.read_prompts` gives them.
        seed: of the resamples.
    """
    ends = scales(values)
    for by, groups in _groups(asked, values.cube.shape[3]).items():
        for group, cells in groups.items() if len(groups) > 1 else ():
            for (arm, metric), row in mean_rows(values, ends, cells, seed).items():
                if row["n"] >= FEWEST:
                    yield {"arm": arm, "metric": metric, "by": by, "group": group, **row}


def _groups(asked: pd.DataFrame, turns: int) -> dict[str, dict[str, Mask]]:
    """What is told apart → group → its cells, which broadcast to shape (prompts, turns)."""
    by_tag = asked["tags"].reset_index(drop=True).explode().dropna()
    members = {tag: rows.index.to_numpy() for tag, rows in by_tag.groupby(by_tag)}
    tags = {tag: np.isin(np.arange(len(asked)), rows)[:, None] for tag, rows in members.items()}
    by_turn = {str(turn + 1): np.arange(turns) == turn for turn in range(turns)}
    columns = {
        name: {
            str(kind): (asked[name] == kind).to_numpy()[:, None]
            for kind in sorted(asked[name].dropna().unique())
        }
        for name in ("source", "category")
    }
    return {"tag": tags, **columns, "turn": by_turn}
