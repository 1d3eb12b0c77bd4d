"""Arrays of values: their types, their slices, and numbers as a table holds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]

ALL = "all"

ROUNDING = 1e-12


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


def estimate(value: float, low: float, high: float) -> dict[str, Any]:
    """A value and its interval as columns of a table."""
    return {"value": number(value), "ci_low": number(low), "ci_high": number(high)}


def is_binary(values: Array) -> Mask:
    """Where a value is 0, 1 or missing; same shape."""
    return np.isin(values, (0, 1)) | np.isnan(values)


def varies(values: Array) -> Mask:
    """Whether the values along the last axis, none missing, differ by more than rounding does."""
    return np.ptp(values, axis=-1) > ROUNDING * np.maximum(1, np.abs(values.mean(axis=-1)))
