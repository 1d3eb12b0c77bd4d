"""Loads metrics and judgements into one array, arms × metrics × prompts × turns; names its slices.

Used by `alignlab.statistics.summarise` and `alignlab.statistics.shift`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from alignlab import tables
from alignlab.errors import AlignlabError

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]

ALL = "all"
GONE = "judgements for responses that no longer exist"
ROUNDING = 1e-12
SLACK = 1e-6
"""How far beyond its scale an expected score may come to lie by rounding."""


@dataclass(frozen=True)
class Values:
    """Every value of an experiment. Prompts and metrics are sorted, so file order cannot matter."""

    arms: tuple[str, ...]
    metrics: tuple[str, ...]
    cube: Array
    """Shape (arms, metrics, prompts, turns): NaN where there is no value, or no such turn."""
    expected: Mask
    """Same shape: where there should be a value, as the arm was asked or the judge was."""
    datasets: Names
    """Shape (prompts,): the dataset of each prompt."""
    categories: Names
    """Shape (prompts,): the category of each prompt."""
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Metric → ends of the scale that its judge uses; of judged metrics."""
    floors: Mapping[str, float] = field(default_factory=dict)
    """Metric → least coverage that a mean needs to be shown; none where absent."""

    def slices(self) -> Iterator[tuple[str, str, Mask]]:
        """Slices of the prompts, as `slices` yields them."""
        return slices(self.datasets, self.categories)

    def of(self, metric: str) -> Values:
        """The same of one metric."""
        place = [self.metrics.index(metric)]
        cube, expected = self.cube[:, place], self.expected[:, place]
        return replace(self, metrics=(metric,), cube=cube, expected=expected)

    def coverage(self, cells: Mask) -> Array:
        """Share of the expected cells that have a value.

        Args:
            cells: which cells count; broadcasts to shape (prompts, turns).

        Returns:
            Shape (arms, metrics); NaN where no value is expected.
        """
        expected = (self.expected & cells).sum(axis=(2, 3))
        known = (~np.isnan(self.cube) & self.expected & cells).sum(axis=(2, 3))
        with np.errstate(invalid="ignore"):
            return np.asarray(known / expected)

    def refused(self, coverage: Array) -> Mask:
        """Where coverage, shape (arms, metrics), is too low for a mean to be shown; same shape."""
        return coverage < np.array([self.floors.get(metric, 0.0) for metric in self.metrics])


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


def load(
    spec: Mapping[str, Any],
    metrics: Mapping[str, Path],
    judged: Mapping[str, Sequence[Path]],
    asked: pd.DataFrame,
) -> Values:
    """Read the metrics and judgements of each arm, with a place in the array for each turn.

    Of a judge's aspect, the metric `<judge>:<aspect>`, a value is the mean over samples that were
    scored, and expected wherever the tables have a row. Of other metrics it is expected of every
    prompt that the arm was asked.

    Args:
        spec: `arms`; `asked` (arm → datasets that it was asked); of judged metrics `scales`
            (metric → worst and best value) and `min_coverage` (judge → least share of scored
            answers).
        metrics: arm → its metrics table.
        judged: arm → its judgements tables, of any judges.
        asked: every prompt, as `read_prompts` gives them.

    Raises:
        AlignlabError: a table names a prompt or a turn that is none of `asked`; a score is not on
            its scale.
    """
    turns = asked["turns"].map(len)
    arms, scales = tuple(spec["arms"]), spec["scales"]
    rated = {
        arm: [_rated(arm, path, turns, scales) for path in judged.get(arm, ())] for arm in arms
    }
    wide = {arm: _wide([_measured(metrics[arm], turns), *rated[arm]], turns) for arm in arms}
    names = sorted({name for values, _ in wide.values() for name in values})
    by_judge = np.array([name in scales for name in names], dtype=bool)[:, None, None]
    shape = (len(names), len(turns), turns.max())
    cube, rows = (
        np.stack(
            [
                found[side].reindex(columns=names).to_numpy(float).T.reshape(shape)
                for found in wide.values()
            ]
        )
        for side in (0, 1)
    )
    expected = np.stack([_asked(spec, arm, asked, turns) for arm in arms])[:, None]
    floors = spec["min_coverage"]
    return Values(
        arms=arms,
        metrics=tuple(names),
        cube=cube,
        expected=np.where(by_judge, rows > 0, expected),
        datasets=asked["dataset"].to_numpy(str),
        categories=asked["category"].to_numpy(str),
        scales={name: scales[name] for name in names if name in scales},
        floors={name: floors[name.rpartition(":")[0]] for name in names if name in scales},
    )


def read_prompts(paths: Sequence[Path]) -> pd.DataFrame:
    """`dataset`, `category`, `source`, `turns` and `tags` of every prompt, by its id, sorted.

    Raises:
        AlignlabError: there are no prompts.
    """
    columns = ["prompt_id", "dataset", "category", "source", "turns", "tags"]
    rows = [tables.read("prompts", path).select(columns).to_pandas() for path in paths]
    asked = pd.concat(rows).drop_duplicates("prompt_id").set_index("prompt_id").sort_index()
    if asked.empty:
        raise AlignlabError(f"{', '.join(map(str, paths))}: no prompts, so nothing to summarise")
    return asked


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


def _asked(spec: Mapping[str, Any], arm: str, asked: pd.DataFrame, turns: pd.Series) -> Mask:
    """Cells that an arm was asked, shape (prompts, turns)."""
    exists = np.arange(turns.max()) < turns.to_numpy()[:, None]
    return np.asarray(exists & asked["dataset"].isin(spec["asked"][arm]).to_numpy()[:, None])


def _measured(path: Path, turns: pd.Series) -> pd.DataFrame:
    """`prompt_id`, `turn`, `metric` and `value` of a metrics table."""
    frame = tables.read("metrics", path).to_pandas()
    check_asked(frame, turns, path, "not in any prompts table")
    return frame


def _rated(
    arm: str, path: Path, turns: pd.Series, scales: Mapping[str, Sequence[float]]
) -> pd.DataFrame:
    """The same of a judgements table; an answer that could not be scored has no value."""
    columns = ["judge", "arm", "prompt_id", "turn", "aspect", "status", "score"]
    frame = tables.opened("judgements", path).read(columns=columns).to_pandas()
    if others := set(frame["arm"]) - {arm}:
        raise AlignlabError(f"{path}: judgements of arm {others.pop()}, not of {arm}")
    check_asked(frame, turns, path, GONE)
    frame["metric"] = frame["judge"] + ":" + frame["aspect"]
    frame["value"] = frame["score"].where(frame["status"] == "scored")
    for metric, values in frame.groupby("metric")["value"]:
        if metric not in scales:
            raise AlignlabError(f"{path}: {metric!r} is none of the experiment's aspects")
        low, high = scales[metric]
        if (off := values[(values < low - SLACK) | (values > high + SLACK)]).size:
            raise AlignlabError(f"{path}: {metric}: {off.iloc[0]:g} is not within {low:g}-{high:g}")
    return frame


def _wide(frames: Sequence[pd.DataFrame], turns: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean and number of rows as (prompt, turn) × metrics, every prompt as wide as the longest."""
    long = pd.concat([frame[["prompt_id", "turn", "metric", "value"]] for frame in frames])
    cells = pd.MultiIndex.from_product([turns.index, range(turns.max())])
    groups = long.groupby(["prompt_id", "turn", "metric"])["value"]
    mean, size = (
        found.unstack("metric").reindex(cells) for found in (groups.mean(), groups.size())
    )
    return mean, size


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
