"""Loads metrics tables into one array, arms × metrics × prompts × turns, and names its slices.

Used by `alignlab.statistics.summarise` and `alignlab.statistics.shift`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from alignlab import tables
from alignlab.errors import AlignlabError

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]

ALL = "all"
ROUNDING = 1e-12


@dataclass(frozen=True)
class Values:
    """Every value of an experiment. Prompts and metrics are sorted, so file order cannot matter."""

    arms: tuple[str, ...]
    metrics: tuple[str, ...]
    cube: Array
    """Shape (arms, metrics, prompts, turns): NaN where there is no value, or no such turn."""
    turns: npt.NDArray[np.int_]
    """Shape (prompts,): how many turns each prompt has, so how many cells a metric should have."""
    datasets: Names
    """Shape (prompts,): the dataset of each prompt."""
    categories: Names
    """Shape (prompts,): the category of each prompt."""

    def slices(self) -> Iterator[tuple[str, str, Mask]]:
        """Slices of the prompts, as `slices` yields them."""
        return slices(self.datasets, self.categories)


def slices(datasets: Names, categories: Names) -> Iterator[tuple[str, str, Mask]]:
    """Yield (dataset, category, mask over prompts) for every slice that is worth a row.

    All prompts; each category where there are several; each dataset where there are several, and
    its categories where it mixes them.

    Args:
        datasets: shape (prompts,): the dataset of each prompt.
        categories: shape (prompts,): the category of each prompt.
    """
    names = np.unique(datasets)
    masks = {ALL: np.ones(len(datasets), dtype=bool)}
    masks |= {str(name): datasets == name for name in names} if len(names) > 1 else {}
    for dataset, mask in masks.items():
        yield dataset, ALL, mask
        kinds = np.unique(categories[mask])
        for kind in kinds if len(kinds) > 1 else ():
            yield dataset, str(kind), mask & (categories == kind)


def load(arms: Sequence[str], metrics: Mapping[str, Path], prompts: Sequence[Path]) -> Values:
    """Read the metrics table of each arm, with a place in the array for each turn of `prompts`.

    Raises:
        AlignlabError: there are no prompts, or a metrics table names a prompt or a turn that is
            none of theirs.
    """
    asked = read_prompts(prompts)
    turns = asked["turns"].map(len)
    found = {arm: _cells(metrics[arm], turns) for arm in arms}
    names = sorted(set().union(*(frame.columns for frame in found.values())))
    flat = np.stack([found[arm].reindex(columns=names).to_numpy(float).T for arm in arms])
    return Values(
        arms=tuple(arms),
        metrics=tuple(names),
        cube=flat.reshape(len(arms), len(names), len(turns), turns.max()),
        turns=turns.to_numpy(),
        datasets=asked["dataset"].to_numpy(str),
        categories=asked["category"].to_numpy(str),
    )


def read_prompts(paths: Sequence[Path]) -> pd.DataFrame:
    """`dataset`, `category` and `turns` of every prompt, by prompt id in sorted order.

    Raises:
        AlignlabError: there are no prompts.
    """
    columns = ["prompt_id", "dataset", "category", "turns"]
    rows = [tables.read("prompts", path).select(columns).to_pandas() for path in paths]
    asked = pd.concat(rows).drop_duplicates("prompt_id").set_index("prompt_id").sort_index()
    if asked.empty:
        raise AlignlabError(f"{', '.join(map(str, paths))}: no prompts, so nothing to summarise")
    return asked


def _cells(path: Path, turns: pd.Series) -> pd.DataFrame:
    """One metrics table as (prompt, turn) × metrics, every prompt as wide as the longest."""
    frame = tables.read("metrics", path).to_pandas()
    known = frame["turn"].to_numpy() < turns.reindex(frame["prompt_id"], fill_value=0).to_numpy()
    if not known.all():
        name, turn = frame.loc[~known, ["prompt_id", "turn"]].iloc[0]
        raise AlignlabError(f"{path}: prompt {name!r}, turn {turn}: not in any prompts table")
    values = frame.groupby(["prompt_id", "turn", "metric"])["value"].mean().unstack("metric")
    return values.reindex(pd.MultiIndex.from_product([turns.index, range(turns.max())]))


def over_turns(cells: Array) -> Array:
    """Mean of the last axis, the turns, over those with a value; NaN where none has one.

    Turns of a conversation are not independent, so the prompt is the unit of every interval and
    test.
    """
    known = ~np.isnan(cells)
    with np.errstate(invalid="ignore"):
        return np.where(known, cells, 0).sum(axis=-1) / known.sum(axis=-1)


def number(value: float) -> float | None:
    """NaN is how numpy says missing; a table says null."""
    return None if np.isnan(value) else float(value)


def estimate(value: float, low: float, high: float) -> tables.Row:
    """A value and its interval as columns of a table."""
    return {"value": number(value), "ci_low": number(low), "ci_high": number(high)}


def is_binary(values: Array) -> Mask:
    """Where a value is 0, 1 or missing; same shape."""
    return np.isin(values, (0, 1)) | np.isnan(values)


def varies(values: Array) -> Mask:
    """Whether the values along the last axis, none missing, differ by more than rounding does."""
    return np.ptp(values, axis=-1) > ROUNDING * np.maximum(1, np.abs(values.mean(axis=-1)))
