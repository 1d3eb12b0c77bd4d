"""How token shift changes with the position in the answer (Lin et al. 2023, §2.2 and figure 4).

Used by `shift.statistics.summarise`. A mean at a position is over the answers still alive there, a
mix that changes; the curves of `long` answers stay with one set of answers for as long as they go.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from alignlab.core.tables import Row
from alignlab.statistics.arrays import ALL, Array, estimate
from alignlab.statistics.resampling import Integers, bands, draws, medians, sums

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


def curves(tokens: pd.DataFrame, asked: pd.DataFrame, seed: int) -> Iterator[Row]:
    """Rows of `shift_curves`; nothing is smoothed."""
    kinds = asked["category"].to_numpy(str)[tokens["prompt"]]
    longest = tokens.groupby("answer")["position"].transform("max")
    early = tokens["position"] <= LONG
    names = np.unique(kinds)
    for category in (ALL, *names) if len(names) > 1 else (ALL,):
        of_kind = (kinds == category) | (category == ALL)
        for answers, chosen in (("all", of_kind), ("long", of_kind & early & (longest >= LONG))):
            label = {"category": str(category), "answers": answers}
            for row in _curves(tokens[chosen], seed) if chosen.any() else ():
                yield label | row


def _curves(frame: pd.DataFrame, seed: int) -> Iterator[Row]:
    prompts, position = pd.factorize(frame["prompt"])[0], frame["position"].to_numpy()
    times = draws(frame["prompt"].nunique(), seed)
    alive = sums(times, prompts, position, frame["tokens"].to_numpy())
    prompts_alive = frame.groupby("position")["prompt"].nunique()
    several = prompts_alive.reindex(range(alive.shape[1]), fill_value=0).to_numpy() > 1
    found = {"base_rank_median": _medians(times, prompts, position, frame["base_rank"].to_numpy())}
    for metric, column in MEANS.items():
        with np.errstate(invalid="ignore"):
            found[metric] = sums(times, prompts, position, frame[column].to_numpy()) / alive
    for metric, samples in found.items():
        for place, values in enumerate(zip(*bands(samples, several), strict=True)):
            if n := int(alive[0, place]):
                yield {"metric": metric, "position": place, "n": n, **estimate(*values)}


def _medians(times: Array, prompts: Integers, position: Integers, ranks: Integers) -> Array:
    """Shape (resamples, positions)."""
    found = np.full((len(times), int(position.max()) + 1), np.nan)
    order = np.argsort(position, kind="stable")
    for tokens in np.split(order, np.flatnonzero(np.diff(position[order])) + 1):
        found[:, position[tokens[0]]] = medians(times, prompts[tokens], ranks[tokens])
    return found
