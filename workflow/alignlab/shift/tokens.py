"""The tokens of one pair: which metrics they have, and means by position, text and category.

    python -m alignlab.shift.tokens     # prints the metrics

A mean at a position is over the answers that are as long, a set that changes; the curves of `long`
answers keep one set of answers (Lin et al. 2023, §2.2 and figure 4).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.statistics.bootstrap import (
    bands,
    draws,
    medians,
    ratio_share_intervals,
    sums,
)
from alignlab.statistics.intervals import ALL, Array, Integers, estimate, number

ORDER = ["prompt", "turn", "sample", "position"]
COLUMNS = [
    *("prompt_id", "turn", "sample", "position", "token_id", "token", "token_category"),
    *("base_rank", "shift_class", "base_logprob", "aligned_logprob", "base_topk_logprobs"),
    *("kl_aligned_base", "kl_base_aligned", "js", "base_entropy", "aligned_entropy", "is_eos"),
]
TOP = 200
BINS = 10
LONG = 64
MEANS = {
    "kl_aligned_base": "kl_aligned_base",
    "kl_base_aligned": "kl_base_aligned",
    "base_rank_mean": "base_rank",
    "base_probability": "base_probability",
    "base_entropy": "base_entropy",
    "aligned_entropy": "aligned_entropy",
    "shifted": "shifted",
}
"""Curve → the column whose mean it is."""


class ShiftMetric(NamedTuple):
    """One number about the tokens of a pair.

    Most are a sum over tokens, `above`, by another, `below`; both are columns of
    `alignlab.shift.tokens`. The others need the tokens' order, and are pooled only.
    """

    label: str
    unit: str
    description: str
    above: str | None = None
    below: str = "tokens"


METRICS: dict[str, ShiftMetric] = {
    "unshifted": ShiftMetric(
        "Unshifted", "share", "Tokens that the base model ranks first", "unshifted"
    ),
    "marginal": ShiftMetric(
        "Marginal", "share", "Tokens that the base model ranks second or third", "marginal"
    ),
    "shifted": ShiftMetric(
        "Shifted", "share", "Tokens that the base model ranks fourth or lower", "shifted"
    ),
    "top3": ShiftMetric("In the base's top 3", "share", "Unshifted or marginal tokens", "top3"),
    "kl_aligned_base": ShiftMetric(
        "KL(aligned ‖ base)", "nats", "Mean over tokens", "kl_aligned_base"
    ),
    "kl_base_aligned": ShiftMetric(
        "KL(base ‖ aligned)", "nats", "Mean over tokens", "kl_base_aligned"
    ),
    "js": ShiftMetric("Jensen-Shannon", "nats", "Mean over tokens; at most ln 2", "js"),
    "base_entropy": ShiftMetric(
        "Entropy, base", "nats", "Mean entropy of the base model's distributions", "base_entropy"
    ),
    "aligned_entropy": ShiftMetric(
        "Entropy, aligned", "nats", "The same of the aligned model", "aligned_entropy"
    ),
    "base_probability": ShiftMetric(
        "Base probability",
        "probability",
        "Mean probability of the answer's token under the base model",
        "base_probability",
    ),
    "aligned_probability": ShiftMetric(
        "Aligned probability",
        "probability",
        "The same under the aligned model",
        "aligned_probability",
    ),
    "mean_rank": ShiftMetric(
        "Mean base rank", "rank", "1 is top; a few very low tokens dominate it", "base_rank"
    ),
    "median_rank": ShiftMetric(
        "Median base rank", "rank", "Lower median: half of the tokens rank no lower"
    ),
    "first_token_shifted": ShiftMetric(
        "First token shifted",
        "share",
        "Answers whose first token is shifted",
        "first_shifted",
        "first",
    ),
    "eos_shifted": ShiftMetric(
        "End shifted",
        "share",
        "Answers whose end token is shifted, of those that have one",
        "eos_shifted",
        "eos",
    ),
    "kl_share_shifted": ShiftMetric(
        "KL at shifted tokens",
        "share",
        "Part of the sum of KL(aligned ‖ base) that falls on shifted tokens",
        "kl_shifted",
        "kl_aligned_base",
    ),
    "confidence_auc": ShiftMetric(
        "Confidence predicts",
        "AUC",
        "How well the base model's doubt, 1 − its top probability, tells the tokens that are not "
        "its first choice: 0.5 by chance, 1 perfectly",
    ),
}
"""Name → definition, in the order of display."""


def read_tokens(path: Path, asked: pd.DataFrame) -> pd.DataFrame:
    """Every token of a token_shift table, sorted, so that the order in the file cannot matter.

    Args:
        path: the table; its top-ten lists are not kept.
        asked: prompts by id, as `read_prompts` gives them.

    Returns:
        The table's columns and `prompt` (row of `asked`), `answer` (number of the answer),
        `confidence` (the base model's top probability), `base_probability`, `aligned_probability`,
        and numbers to sum: `tokens` (1 each), `unshifted`, `marginal`, `shifted`, `top3`,
        `disagrees`, `first`, `first_shifted`, `eos`, `eos_shifted` (1 or 0) and `kl_shifted`.

    Raises:
        AlignlabError: the table is damaged, or names a prompt that is not in `asked`.
    """
    table = tables.opened("token_shift", path).read(columns=COLUMNS)
    top = pc.list_element(table["base_topk_logprobs"], 0).to_numpy().astype(float)
    frame = table.drop_columns(["base_topk_logprobs"]).to_pandas()
    frame["prompt"] = asked.index.get_indexer(frame["prompt_id"])
    if len(unknown := frame.loc[frame["prompt"] < 0, "prompt_id"]):
        raise AlignlabError(f"{path}: prompt {unknown.iloc[0]!r}: not in any prompts table")
    frame = frame.assign(confidence=np.exp(top), **_probabilities(frame)).sort_values(ORDER)
    frame["answer"] = frame.groupby(ORDER[:-1]).ngroup()
    return frame.assign(**_indicators(frame))


def _probabilities(frame: pd.DataFrame) -> dict[str, pd.Series]:
    sides = ("base", "aligned")
    return {f"{side}_probability": np.exp(frame[f"{side}_logprob"]) for side in sides}


def _indicators(frame: pd.DataFrame) -> dict[str, Array]:
    kinds = {name: frame["shift_class"] == name for name in ("unshifted", "marginal", "shifted")}
    first, shifted = frame["position"] == 0, kinds["shifted"]
    flags = {
        **kinds,
        "tokens": pd.Series(True, index=frame.index),
        "top3": ~shifted,
        "disagrees": ~kinds["unshifted"],
        "first": first,
        "first_shifted": first & shifted,
        "eos": frame["is_eos"],
        "eos_shifted": frame["is_eos"] & shifted,
    }
    counted = {name: flag.to_numpy(float) for name, flag in flags.items()}
    return {**counted, "kl_shifted": frame["kl_aligned_base"].to_numpy() * counted["shifted"]}


def sums_by_prompt(frame: pd.DataFrame, values: pd.Series, prompts: int) -> Array:
    """Sum of values, one a token, over each prompt's tokens; shape (prompts,)."""
    return np.bincount(frame["prompt"], values, prompts).astype(float)


def top_tokens(tokens: pd.DataFrame, asked: pd.DataFrame, seed: int) -> Iterator[Row]:
    """Rows of `shifted_tokens`: the 200 tokens most often shifted, the most frequent first."""
    by_token = tokens.groupby("token_id")
    counts = by_token.agg(count=("tokens", "sum"), shifted=("shifted", "sum")).reset_index()
    base_rate = tokens["shifted"].mean()
    found = counts[counts["shifted"] > 0].sort_values(
        ["shifted", "token_id"], ascending=[False, True]
    )
    for row in found.head(TOP).itertuples():
        of_token = by_token.get_group(row.token_id)
        shifted = of_token[of_token["shifted"] > 0]
        yield {
            "token_id": int(row.token_id),
            "token": of_token["token"].iloc[0],
            "token_category": of_token["token_category"].mode()[0],
            "count": int(row.count),
            "shifted": int(row.shifted),
            "lift": float(row.shifted / row.count / base_rate),
            "prompts": int(shifted["prompt"].nunique()),
        }


def categories(tokens: pd.DataFrame, asked: pd.DataFrame, seed: int) -> Iterator[Row]:
    """Rows of `shift_categories`, for the categories that occur."""
    names, group = np.unique(tokens["token_category"].to_numpy(str), return_inverse=True)
    shape = (len(names), len(asked))
    count, shifted, kl = (
        _sums(tokens, group, shape, column) for column in ("tokens", "shifted", "kl_aligned_base")
    )
    bounds = ratio_share_intervals(shifted, count, seed, asked["cluster"].to_numpy())
    shifted_all, kl_all = shifted.sum(), kl.sum()
    for place, name in enumerate(names):
        here = count[place].sum()
        yield {
            "token_category": str(name),
            "tokens": int(here),
            "share": float(here / len(tokens)),
            "shifted_rate": float(shifted[place].sum() / here),
            "ci_low": number(bounds[place, 0]),
            "ci_high": number(bounds[place, 1]),
            "share_of_shifted": _share(shifted[place].sum(), shifted_all),
            "share_of_kl": _share(kl[place].sum(), kl_all),
        }


def confidence(tokens: pd.DataFrame, asked: pd.DataFrame, seed: int) -> Iterator[Row]:
    """Rows of `shift_confidence`: ten bins of the base model's top probability, even empty ones."""
    # Float32 log-probabilities may give a bit more than one.
    group = np.minimum(tokens["confidence"].to_numpy() * BINS, BINS - 1).astype(int)
    shape = (BINS, len(asked))
    count, misses, shifted = (
        _sums(tokens, group, shape, column) for column in ("tokens", "disagrees", "shifted")
    )
    bounds = ratio_share_intervals(misses, count, seed, asked["cluster"].to_numpy())
    for place in range(BINS):
        here = count[place].sum()
        yield {
            "low": place / BINS,
            "high": (place + 1) / BINS,
            "tokens": int(here),
            "share": _share(here, len(tokens)),
            "disagreement": _share(misses[place].sum(), here),
            "ci_low": number(bounds[place, 0]),
            "ci_high": number(bounds[place, 1]),
            "shifted_rate": _share(shifted[place].sum(), here),
        }


def _sums(tokens: pd.DataFrame, group: Integers, shape: tuple[int, int], column: str) -> Array:
    """Sum of a column by group and prompt; shape (groups, prompts)."""
    cells = group * shape[1] + tokens["prompt"].to_numpy()
    sums = np.bincount(cells, tokens[column], shape[0] * shape[1])
    return sums.reshape(shape).astype(float)


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def curves(tokens: pd.DataFrame, asked: pd.DataFrame, seed: int) -> Iterator[Row]:
    """Rows of `shift_curves`; nothing is smoothed."""
    kinds = asked["category"].to_numpy(str)[tokens["prompt"]]
    clusters = asked["cluster"].to_numpy()
    longest = tokens.groupby("answer")["position"].transform("max")
    early = tokens["position"] <= LONG
    names = np.unique(kinds)
    for category in (ALL, *names) if len(names) > 1 else (ALL,):
        of_kind = (kinds == category) | (category == ALL)
        for answers, chosen in (("all", of_kind), ("long", of_kind & early & (longest >= LONG))):
            label = {"category": str(category), "answers": answers}
            for row in _curves(tokens[chosen], clusters, seed) if chosen.any() else ():
                yield label | row


def _curves(frame: pd.DataFrame, clusters: Integers, seed: int) -> Iterator[Row]:
    position = frame["position"].to_numpy()
    codes, drawn = pd.factorize(clusters[frame["prompt"]])
    times = draws(len(drawn), seed)
    alive = sums(times, codes, position, frame["tokens"].to_numpy())
    clusters_alive = pd.Series(codes).groupby(position).nunique()
    several = clusters_alive.reindex(range(alive.shape[1]), fill_value=0).to_numpy() > 1
    found = {"base_rank_median": _medians(times, codes, position, frame["base_rank"].to_numpy())}
    for metric, column in MEANS.items():
        with np.errstate(invalid="ignore"):
            found[metric] = sums(times, codes, position, frame[column].to_numpy()) / alive
    for metric, samples in found.items():
        for place, values in enumerate(zip(*bands(samples, several), strict=True)):
            if n := int(alive[0, place]):
                yield {"metric": metric, "position": place, "n": n, **estimate(*values)}


def _medians(times: Array, codes: Integers, position: Integers, ranks: Integers) -> Array:
    """Shape (resamples, positions)."""
    found = np.full((len(times), int(position.max()) + 1), np.nan)
    order = np.argsort(position, kind="stable")
    for tokens in np.split(order, np.flatnonzero(np.diff(position[order])) + 1):
        found[:, position[tokens[0]]] = medians(times, codes[tokens], ranks[tokens])
    return found


if __name__ == "__main__":
    for name, metric in METRICS.items():
        print(f"{name:20} {metric.unit:12} {metric.description}")
