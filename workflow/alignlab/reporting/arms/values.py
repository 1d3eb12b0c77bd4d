"""Loads metrics and judgements into one array, arms × metrics × prompts × turns; names its slices.

The job and spec of `alignlab.reporting.arms.summarise` are here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.prompts import GONE, check_asked
from alignlab.learning.config import ScenarioConfig
from alignlab.planning.artefact import Job, Spec
from alignlab.statistics.estimates import OWN, counted, mean, means
from alignlab.statistics.intervals import Array, Integers, Mask, Names, is_binary, number, slices

SLACK = 1e-6
"""How far beyond its scale an expected score may come to lie by rounding."""


class StatisticsSpec(Spec):
    """What the tables of arms are made of.

    Attributes:
        experiment: its name.
        arms: in order of display.
        baseline: the arm that the others are compared with.
        asked: arm → datasets that it was asked.
        scenarios: in order of display.
        scales: metric → worst and best value; of judged metrics.
        min_coverage: judge → least share of scored answers that a mean needs to be shown.
        seed: of every resample.
    """

    experiment: str
    arms: tuple[str, ...]
    baseline: str
    asked: dict[str, tuple[str, ...]]
    scenarios: tuple[ScenarioConfig, ...]
    scales: dict[str, tuple[float, float]]
    min_coverage: dict[str, float]
    seed: int


class StatisticsJob(Job):
    """What `summarise` is given.

    Attributes:
        metrics: arm → its metrics table.
        judgements: arm → its judgements tables, of any judges; may be absent if there are none.
        prompts: the tables of prompts that arms were asked.
        output: folder of the tables.
    """

    spec: StatisticsSpec
    metrics: dict[str, Path]
    judgements: dict[str, tuple[Path, ...]]
    prompts: tuple[Path, ...]


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
    clusters: Integers
    """Shape (prompts,): equal for prompts that are not independent."""
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Metric → ends of the scale that its judge uses; of judged metrics."""
    floors: Mapping[str, float] = field(default_factory=dict)
    """Metric → least coverage that a mean needs to be shown; none where absent."""

    def slices(self) -> Iterator[tuple[str, str, Mask]]:
        """Slices of the prompts, as `slices` yields them."""
        return slices(self.datasets, self.categories)

    def of(self, *metrics: str) -> Values:
        """The same of some metrics."""
        places = [self.metrics.index(metric) for metric in metrics]
        cube, expected = self.cube[:, places], self.expected[:, places]
        return replace(self, metrics=metrics, cube=cube, expected=expected)

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


def load(job: StatisticsJob, asked: pd.DataFrame) -> Values:
    """Read the metrics and judgements of each arm, with a place in the array for each turn.

    Of a judge's aspect, the metric `<judge>:<aspect>`, a value is the mean over samples that were
    scored, and expected wherever the tables have a row. Of other metrics it is expected of every
    prompt that the arm was asked.

    Args:
        job: says which tables; its `output` is not written.
        asked: every prompt, as `read_prompts` gives them.

    Raises:
        AlignlabError: a table names a prompt or a turn that is none of `asked`; a score is not on
            its scale.
    """
    turns = asked["turns"].map(len)
    arms, scales = job.spec.arms, job.spec.scales
    rated = {
        arm: [_rated(arm, path, turns, scales) for path in job.judgements.get(arm, ())]
        for arm in arms
    }
    wide = {arm: _wide([_measured(job.metrics[arm], turns), *rated[arm]], turns) for arm in arms}
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
    expected = np.stack([_asked(job.spec.asked[arm], asked, turns) for arm in arms])[:, None]
    floors = job.spec.min_coverage
    return Values(
        arms=arms,
        metrics=tuple(names),
        cube=cube,
        expected=np.where(by_judge, rows > 0, expected),
        datasets=asked["dataset"].to_numpy(str),
        categories=asked["category"].to_numpy(str),
        clusters=asked["cluster"].to_numpy(),
        scales={name: scales[name] for name in names if name in scales},
        floors={name: floors[name.rpartition(":")[0]] for name in names if name in scales},
    )


def _asked(datasets: Sequence[str], asked: pd.DataFrame, turns: pd.Series) -> Mask:
    """Cells of an arm that was asked some datasets, shape (prompts, turns)."""
    exists = np.arange(turns.max()) < turns.to_numpy()[:, None]
    return np.asarray(exists & asked["dataset"].isin(datasets).to_numpy()[:, None])


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


def scales(values: Values) -> Array:
    """Ends of each metric's scale: its judge's; 0 and 1 where every value is one of them; else NaN.

    Returns:
        Shape (metrics, 2).
    """
    binary = np.asarray(is_binary(values.cube).all(axis=(0, 2, 3)))
    ends = np.where(binary[:, None], (0.0, 1.0), np.nan)
    for place, metric in enumerate(values.metrics):
        ends[place] = values.scales.get(metric, ends[place])
    return ends


def mean_rows(
    values: Values, ends: Array, cells: Mask, seed: int
) -> dict[tuple[str, str], tables.Row]:
    """The mean of every arm and metric over some cells; null, as its interval, where refused.

    Args:
        values: every value.
        ends: of the metrics' scales, as `scales` gives them.
        cells: which count; broadcasts to shape (prompts, turns).
        seed: of the resamples.

    Returns:
        (arm, metric) → `n` (prompts), `clusters`, `mean`, `ci_low`, `ci_high` and `coverage`, arm
        by arm; nothing where no value is expected.
    """
    coverage = values.coverage(cells)
    prompts = np.broadcast_to(cells, values.cube.shape[2:]).any(axis=1)
    chosen = np.where(cells, values.cube, np.nan)[:, :, prompts]
    clusters = values.clusters[prompts]
    found, bounds = means(chosen, ends, seed, clusters)
    refused = values.refused(coverage)
    made = {}
    for a, m in zip(*np.nonzero(~np.isnan(coverage)), strict=True):
        low, high = bounds[a, m]
        shown = {"mean": mean(found[a, m]), "ci_low": number(low), "ci_high": number(high)}
        made[values.arms[a], values.metrics[m]] = {
            "n": int((~np.isnan(found[a, m])).sum()),
            "clusters": counted(found[a, m], clusters),
            **(dict.fromkeys(OWN) if refused[a, m] else shown),
            "coverage": float(coverage[a, m]),
        }
    return made
