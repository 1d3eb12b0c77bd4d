"""The tokens of one pair of models, as the statistics of token shift take them.

Used by `alignlab.shift.statistics.summarise`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.statistics.arrays import Array

ORDER = ["prompt", "turn", "sample", "position"]
COLUMNS = [
    *("prompt_id", "turn", "sample", "position", "token_id", "token", "token_category"),
    *("base_rank", "shift_class", "base_logprob", "aligned_logprob", "base_topk_logprobs"),
    *("kl_aligned_base", "kl_base_aligned", "js", "base_entropy", "aligned_entropy", "is_eos"),
]


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
