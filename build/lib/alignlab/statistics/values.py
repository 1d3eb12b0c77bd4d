"""Loads metrics tables into one array, arms × metrics × prompts, and names its slices.

Used by `alignlab.statistics.summarise`.
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

ALL = "all"


@dataclass(frozen=True)
class Values:
    """Every value of an experiment. Prompts and metrics are sorted, so file order cannot matter."""

    arms: tuple[str, ...]
    metrics: tuple[str, ...]
    cube: Array
    """Shape (arms, metrics, prompts): mean over a prompt's turns; NaN where there is no value."""
    datasets: npt.NDArray[np.str_]
    """Shape (prompts,): the dataset of each prompt."""
    categories: npt.NDArray[np.str_]
    """Shape (prompts,): the category of each prompt."""

    def slices(self) -> Iterator[tuple[str, str, Mask]]:
        """Yield (dataset, category, mask over prompts) for every slice that is worth a row.

        All prompts; each category where there are several; each dataset where there are several,
        and its categories where it mixes them.
        """
        everything = np.ones(len(self.datasets), dtype=bool)
        yield from self._with_categories(ALL, everything)
        names = np.unique(self.datasets)
        for name in names if len(names) > 1 else ():
            yield from self._with_categories(str(name), self.datasets == name)

    def _with_categories(self, dataset: str, mask: Mask) -> Iterator[tuple[str, str, Mask]]:
        yield dataset, ALL, mask
        names = np.unique(self.categories[mask])
        for name in names if len(names) > 1 else ():
            yield dataset, str(name), mask & (self.categories == name)


def load(arms: Sequence[str], metrics: Mapping[str, Path], prompts: Sequence[Path]) -> Values:
    """Read the metrics table of each arm, with one column of the array per row of `prompts`.

    Turns are averaged within a prompt, over the turns that have a value: turns of a conversation
    are not independent, so the prompt is the unit of every interval and test.

    Raises:
        AlignlabError: there are no prompts, or a metrics table names a prompt that is none of them.
    """
    rows = [tables.read("prompts", path).select(["prompt_id", "dataset", "category"]).to_pandas()
            for path in prompts]  # fmt: skip
    asked = pd.concat(rows).drop_duplicates("prompt_id").set_index("prompt_id").sort_index()
    if asked.empty:
        raise AlignlabError(f"{', '.join(map(str, prompts))}: no prompts, so nothing to summarise")
    found = {arm: _prompt_means(metrics[arm], asked.index) for arm in arms}
    names = sorted(set().union(*(frame.columns for frame in found.values())))
    return Values(
        arms=tuple(arms),
        metrics=tuple(names),
        cube=np.stack([found[arm].reindex(columns=names).to_numpy(float).T for arm in arms]),
        datasets=asked["dataset"].to_numpy(str),
        categories=asked["category"].to_numpy(str),
    )


def _prompt_means(path: Path, asked: pd.Index) -> pd.DataFrame:
    """One metrics table as prompts × metrics, turns averaged."""
    frame = tables.read("metrics", path).to_pandas().sort_values(["prompt_id", "metric", "turn"])
    if not (known := frame["prompt_id"].isin(asked)).all():
        stranger = frame["prompt_id"][~known].iloc[0]
        raise AlignlabError(f"{path}: prompt {stranger!r} is in none of the prompts tables")
    means = frame.groupby(["prompt_id", "metric"])["value"].mean()
    return means.unstack("metric").reindex(asked)
