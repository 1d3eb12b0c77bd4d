"""How fast models run: what past jobs noted, and a guess for what never ran.

    cat results/throughput.jsonl                # a line for every finished job with a model

A job's time is all of it, loading included; of tuning, that of its steps, over all attempts. The
guess is a roofline (Williams et al. 2009,
doi 10.1145/1498765.1498785): a token that is read costs 2 operations a weight, a step that writes
reads every weight and the cache once.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

from alignlab.operations.manifest import processor
from alignlab.planning.artefact import RESULTS

NOTED = RESULTS / "throughput.jsonl"
GUESSED_DEVICE = "one A100 80GB at half its peak"
BANDWIDTH = 2.0e12 / 2
"""Bytes a second: half of an A100's, by its data sheet."""
OPERATIONS = 312e12 / 2
"""Operations a second in bfloat16, half as well."""
UNITS = {
    "responses": "num_tokens",
    "token_shift": None,
    "judgements": None,
    "preferences": None,
    "training": "tokens",
}
"""Table of a job with a model → its column with tokens; rows count where there is none."""


class Task(NamedTuple):
    """What must be equal for one job's time to say something of another's."""

    table: str
    model: str
    engine: str
    dtype: str


class Rate(NamedTuple):
    """Units of a task's table a second, the median of past jobs on the device used last."""

    units: float
    device: str


def note(made: Path, seconds: float, noted: Path = NOTED) -> None:
    """Append what a job made in so many seconds; nothing if no model had a part in it.

    Nor if a part was made before: how long that took is not known.

    Lines are short enough for one write each, so jobs side by side do not mix theirs.
    """
    path = made / "training.parquet" if made.is_dir() else made
    file = pq.ParquetFile(path)
    notes = file.metadata.metadata or {}
    table = notes.get(b"alignlab.table", b"").decode()
    task = task_of(table, json.loads(notes.get(b"alignlab.spec", b"{}")))
    if task is None or not file.metadata.num_rows or b"alignlab.resumed" in notes:
        return
    column = UNITS[table]
    units = file.metadata.num_rows
    if table == "training":
        units, seconds = (pc.max(file.read()[name]).as_py() for name in ("tokens", "seconds"))
    elif column:
        units = pc.sum(file.read(columns=[column])[column]).as_py()
    line = {**task._asdict(), "units": units, "seconds": round(seconds, 1), "device": _device()}
    noted.parent.mkdir(parents=True, exist_ok=True)
    with noted.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(line) + "\n")


def task_of(table: str, spec: dict[str, Any]) -> Task | None:
    """The task behind a table, from its artefact's spec; None if no local model had a part."""
    if table not in UNITS or "dtype" not in spec.get("engine", {}):
        return None
    if table == "token_shift":
        model = " ".join(spec[side]["model"] for side in ("base", "aligned"))
    elif table == "training":
        model = f"{spec['base']} {spec['trainer']}"
    else:
        model = spec.get("model") or spec["entry"]["model"]
    # Whatever answers, tuning, scoring and judging are done by transformers.
    return Task(table, model, spec["engine"].get("name", "transformers"), spec["engine"]["dtype"])


def rates(noted: Path = NOTED) -> dict[Task, Rate]:
    """Rates of every task that past jobs noted; a line cut short by a crash is left out."""
    found: dict[Task, list[tuple[str, float]]] = defaultdict(list)
    for text in noted.read_text(encoding="utf-8").splitlines() if noted.exists() else ():
        try:
            line = json.loads(text)
            speed = line["units"] / max(line["seconds"], 0.1)
            found[Task(*(line[name] for name in Task._fields))].append((line["device"], speed))
        except (ValueError, KeyError, TypeError):
            continue
    return {task: _last(speeds) for task, speeds in found.items()}


def guess(
    parameters: int, size: int, kv_values: int, *, read: int, written: int, context: int, batch: int
) -> float:
    """GPU seconds to read and to write tokens, by a roofline at half an A100's peak.

    Args:
        parameters: weights of the model.
        size: bytes of a weight, 2 or 4.
        kv_values: numbers that a token leaves in the cache.
        read: tokens of prompts.
        written: tokens of answers.
        context: tokens before a typical written one.
        batch: answers written at a time.
    """
    step = parameters * size / batch + kv_values * size * context
    return 2 * parameters * read / OPERATIONS + written * step / BANDWIDTH


def _last(speeds: list[tuple[str, float]]) -> Rate:
    device = speeds[-1][0]
    return Rate(median(speed for name, speed in speeds if name == device), device)


def _device() -> str:
    """The GPU that this process used, or else the processor."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} cores of {processor()}"
