"""The statistics of token shift: estimates of every pair and their differences, with intervals.

Classes are those of Lin et al. (2023, arXiv 2312.01552, §2.1). What they leave open is here both
ways: with and without the token that ends an answer, which is nearly always shifted; pooled over
tokens, which long answers dominate, and as a mean over prompts.

Two pairs that score the same answers are compared token by token: the base model with a URIAL
prompt against the base model without shows how much of the shift the in-context prompt removes; one
template for both models against each its own, how much of it is the prompt, not the tuning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from alignlab.core import tables
from alignlab.core.prompts import read_prompts
from alignlab.core.tables import Row
from alignlab.planning.artefact import Job, Spec
from alignlab.shift.config import PairCard
from alignlab.shift.tokens import (
    METRICS,
    categories,
    confidence,
    curves,
    read_tokens,
    sums_by_prompt,
    top_tokens,
)
from alignlab.statistics.bootstrap import (
    areas,
    bands,
    draws,
    medians,
    ratio_intervals,
    ratio_share_intervals,
)
from alignlab.statistics.intervals import Array, Integers, Mask, estimate, slices

COMPARED = [name for name, metric in METRICS.items() if metric.above and metric.below == "tokens"]


class ShiftStatisticsSpec(Spec):
    """What the tables of token shift are made of.

    Attributes:
        experiment: its name.
        pairs: in order of display.
        seed: of every resample.
    """

    experiment: str
    pairs: tuple[PairCard, ...]
    seed: int


class ShiftStatisticsJob(Job):
    """What `summarise_shift` is given.

    Attributes:
        shifts: name of a pair → its token_shift table.
        prompts: the tables of prompts that were asked.
        output: folder of `shift_statistics`, `shift_curves`, `shifted_tokens`,
            `shift_categories`, `shift_confidence` and `shift_comparisons`.
    """

    spec: ShiftStatisticsSpec
    shifts: dict[str, Path]
    prompts: tuple[Path, ...]


def summarise_shift(job: ShiftStatisticsJob) -> None:
    """Write the tables of token shift, each as Parquet and as CSV.

    Intervals are bootstrapped over clusters of prompts: the tokens, turns and samples of prompts
    that repeat one question, or attack it, move together. BCa for ratios and means, percentile for
    medians, areas and curves; Wilson's, with the number of clusters, for shares of 0 or 1. Under
    two clusters there is none.

    Raises:
        AlignlabError: a table is damaged, or names a prompt that no prompts table has.
    """
    asked, seed = read_prompts(job.prompts), job.spec.seed
    found: dict[str, list[Row]] = {table: [] for table in TABLES}
    added: dict[str, Sums] = {}
    for pair in job.spec.pairs:
        tokens = read_tokens(job.shifts[pair.name], asked)
        label = {"pair": pair.name, "template": pair.template}
        lacking = tables.counts_of(job.shifts[pair.name]).get("left_out_tokens", 0)
        own = {"coverage": coverage(job.shifts[pair.name]), "lacking": lacking}
        for table, describe in TABLES.items() if len(tokens) else ():
            more = own if table == "shift_statistics" else {}
            found[table] += [label | row | more for row in describe(tokens, asked, seed)]
        added[pair.name] = sums(tokens, len(asked))
    found["shift_comparisons"] = list(differences(job.spec.pairs, added, asked, seed))
    for table, rows in found.items():
        tables.write_with_csv(table, job.output / f"{table}.parquet", rows, job.spec.signed)


def coverage(path: Path) -> float | None:
    """Share of the answers that a token_shift table has scores of."""
    counts = tables.counts_of(path)
    return counts["scored"] / counts["answers"] if counts else None


def estimates(tokens: pd.DataFrame, asked: pd.DataFrame, seed: int) -> Iterator[Row]:
    """Rows of `shift_statistics`, for every slice of the prompts that has a token."""
    datasets, kinds = (asked[name].to_numpy(str) for name in ("dataset", "category"))
    clusters = asked["cluster"].to_numpy()
    for eos, frame in (("with", tokens), ("without", tokens[~tokens["is_eos"]])):
        for dataset, category, mask in slices(datasets, kinds):
            if mask[frame["prompt"]].any():
                label = {"dataset": dataset, "category": category, "eos": eos}
                ratios = _ratios(frame, mask, clusters[mask], seed)
                for row in (*ratios, *_ranked(frame[mask[frame["prompt"]]], clusters, seed)):
                    if not (eos == "without" and row["metric"] == "eos_shifted"):
                        yield label | row


def _ratios(frame: pd.DataFrame, mask: Mask, clusters: Integers, seed: int) -> Iterator[Row]:
    """The metrics that are ratios of sums; `clusters`, shape (prompts,), of the slice's prompts."""
    metrics = {name: metric for name, metric in METRICS.items() if metric.above}
    above, below, tokens = (
        np.stack([sums_by_prompt(frame, values, len(mask))[mask] for values in columns])
        for columns in (
            [frame[metric.above] for metric in metrics.values()],
            [frame[metric.below] for metric in metrics.values()],
            [frame[metric.below] > 0 for metric in metrics.values()],
        )
    )
    present = below > 0
    by_prompt = np.divide(above, below, out=np.zeros_like(above), where=present)
    share = np.array([metric.unit == "share" for metric in metrics.values()])
    for weighting, top, bottom in (
        ("pooled", above, below),
        ("by_prompt", by_prompt, present.astype(float)),
    ):
        bounds = np.empty((len(metrics), 2))
        bounds[share] = ratio_share_intervals(top[share], bottom[share], seed, clusters)
        bounds[~share] = ratio_intervals(top[~share], bottom[~share], seed, clusters)
        for place, metric in enumerate(metrics):
            total = bottom[place].sum()
            value = top[place].sum() / total if total else np.nan
            yield {
                "weighting": weighting,
                "metric": metric,
                "prompts": int(present[place].sum()),
                "clusters": len(np.unique(clusters[present[place]])),
                "tokens": int(tokens[place].sum()),
                **estimate(value, *bounds[place]),
            }


def _ranked(frame: pd.DataFrame, clusters: Integers, seed: int) -> Iterator[Row]:
    """The metrics that need the tokens' order, of a slice's tokens; `clusters` of all prompts."""
    codes, drawn = pd.factorize(clusters[frame["prompt"]])
    times = draws(len(drawn), seed)
    doubt, misses = 1 - frame["confidence"], frame["disagrees"]
    for metric, found in {
        "median_rank": medians(times, codes, frame["base_rank"].to_numpy()),
        "confidence_auc": areas(times, codes, doubt.to_numpy(), misses.to_numpy()),
    }.items():
        yield {
            "weighting": "pooled",
            "metric": metric,
            "prompts": frame["prompt"].nunique(),
            "clusters": len(drawn),
            "tokens": len(frame),
            **estimate(*map(float, bands(found, len(drawn) > 1))),
        }


TABLES = {
    "shift_statistics": estimates,
    "shift_curves": curves,
    "shifted_tokens": top_tokens,
    "shift_categories": categories,
    "shift_confidence": confidence,
}
"""Table → what makes a pair's rows of it from (tokens, prompts asked, seed)."""


class Sums(NamedTuple):
    """Of one pair: sums of the compared metrics [metrics, prompts], and tokens [prompts]."""

    metrics: Array
    tokens: Array


def sums(tokens: pd.DataFrame, prompts: int) -> Sums:
    """Add up a pair's tokens by prompt."""
    columns = [tokens[str(METRICS[name].above)] for name in COMPARED]
    metrics = [sums_by_prompt(tokens, column, prompts) for column in columns]
    return Sums(np.stack(metrics), sums_by_prompt(tokens, tokens["tokens"], prompts))


def differences(
    pairs: Sequence[PairCard], found: Mapping[str, Sums], asked: pd.DataFrame, seed: int
) -> Iterator[Row]:
    """Rows of `shift_comparisons`: every pair against the first that scores the same answers.

    Token counts are equal, so the difference of two pooled means is one ratio, and its interval a
    paired bootstrap over clusters of prompts. Prompts that only one of them could score are left
    out.
    """
    datasets, kinds = (asked[name].to_numpy(str) for name in ("dataset", "category"))
    clusters = asked["cluster"].to_numpy()
    for pair in pairs:
        first = next(other for other in pairs if other.aligned == pair.aligned)
        if first is pair or not {first.name, pair.name} <= found.keys():
            continue
        ours, theirs = found[pair.name], found[first.name]
        for dataset, category, mask in slices(datasets, kinds):
            both = mask & (ours.tokens > 0) & (ours.tokens == theirs.tokens)
            label = {"pair_a": pair.name, "pair_b": first.name}
            for row in _slice(ours, theirs, both, clusters[both], seed) if both.any() else ():
                yield label | {"dataset": dataset, "category": category} | row


def _slice(ours: Sums, theirs: Sums, both: Mask, clusters: Integers, seed: int) -> Iterator[Row]:
    above = (ours.metrics - theirs.metrics)[:, both]
    below = np.broadcast_to(ours.tokens[both], above.shape)
    found = ratio_intervals(above, below, seed, clusters)
    for metric, top, bounds in zip(COMPARED, above, found, strict=True):
        yield {
            "metric": metric,
            "prompts": int(both.sum()),
            "clusters": len(np.unique(clusters)),
            "tokens": int(below[0].sum()),
            **estimate(top.sum() / below[0].sum(), *bounds),
        }
