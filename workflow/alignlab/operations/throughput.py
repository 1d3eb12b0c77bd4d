"""How fast models run, for forecasts: finished jobs add a line to `results/throughput.jsonl`.

A job's time is all of it, loading included; of tuning, that of its steps, over all attempts.
"""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

import pyarrow.compute as pc
import pyarrow.parquet as pq

from alignlab.core.sharing import make_folder, share
from alignlab.planning.artefact import RESULTS, Stage
from alignlab.planning.forecast import Rate, Task

NOTED = RESULTS / "throughput.jsonl"


def note(stage: Stage, made: Path, seconds: float, noted: Path = NOTED) -> None:
    """Append what a job made in so many seconds; nothing if no model had a part in it.

    Nor if a part was made before: how long that took is not known. What goes wrong here is a
    warning in the job's log: it has made what it was for.
    """
    try:
        if line := _line(stage, made, seconds):
            make_folder(noted.parent)
            with noted.open("a", encoding="utf-8") as lines:
                lines.write(line)
            share(noted)
    except Exception as error:
        logging.warning("%s: forecasts will not know of this job: %s", noted, error)


def _line(stage: Stage, made: Path, seconds: float) -> str | None:
    """Short enough for one write, so that jobs side by side do not mix theirs."""
    progress = stage.progress
    if progress is None:
        return None
    file = pq.ParquetFile(made / progress.table if progress.table else made)
    notes = file.metadata.metadata or {}
    task = progress.task(json.loads(notes.get(b"alignlab.spec", b"{}")))
    if task is None or not file.metadata.num_rows or b"alignlab.resumed" in notes:
        return None
    units = file.metadata.num_rows
    if progress.table:
        units, seconds = (pc.max(file.read()[name]).as_py() for name in ("tokens", "seconds"))
    elif progress.column:
        units = pc.sum(file.read(columns=[progress.column])[progress.column]).as_py()
    line = {**task._asdict(), "units": units, "seconds": round(seconds, 1), "device": _device()}
    return json.dumps(line) + "\n"


def rates(noted: Path = NOTED) -> dict[Task, Rate]:
    """Rates of every task that past jobs noted.

    Left out is what says nothing: a line cut short by a crash or otherwise damaged, a job that made
    nothing, a file that cannot be read.
    """
    found: dict[Task, list[tuple[str, float]]] = defaultdict(list)
    try:
        lines = noted.read_bytes().splitlines()
    except OSError:
        return {}
    for text in lines:
        try:
            line = json.loads(text)
            speed = line["units"] / max(line["seconds"], 0.1)
            *task, device = (line[name] for name in (*Task._fields, "device"))
            if 0 < speed < math.inf and all(isinstance(name, str) for name in (*task, device)):
                found[Task(*task)].append((device, speed))
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            continue
    return {task: _last(speeds) for task, speeds in found.items()}


def _last(speeds: list[tuple[str, float]]) -> Rate:
    device = speeds[-1][0]
    return Rate(median(speed for name, speed in speeds if name == device), device)


def _device() -> str:
    """The GPU that this process used, or else the processor."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} cores of {processor()}"


def processor() -> str:
    """The processor's name; `platform` knows only its architecture on Linux."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
