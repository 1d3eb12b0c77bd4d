"""The partitions of a cluster: what the profile's `partitions.yaml` says of them, and Slurm.

A limit is the lower one of both, so that no job is sent where it could never start.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import inf
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_slurm.partitions import Partition, PartitionLimits

from alignlab.core.config import read_yaml
from alignlab.core.errors import AlignlabError

COMMANDS = ("sbatch", "squeue", "sinfo")
CLUSTER = ("slurm_cluster", "cluster", "clusters")
LIMITS = {field.name: field.type for field in fields(PartitionLimits)}
UNITS = {"d": 24 * 60, "h": 60, "m": 1, "s": 1 / 60}
SPELLED = re.compile(r"(\d+(?:\.\d+)?)\s*([dhms])")
CLOCK = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


def partitions_of(path: Path) -> list[Partition]:
    """Those of a file, each with its limits or those of Slurm, whichever are lower.

    Raises:
        AlignlabError: the file is not of this form, Slurm does not answer, or it lacks a partition.
    """
    given = read(path)
    known = slurms()
    if unknown := sorted(set(given) - set(known)):
        raise AlignlabError(
            f"{path}: this cluster has no partition {', '.join(unknown)}; "
            f"it has {', '.join(sorted(known))}"
        )
    for name, partition in given.items():
        memory, minutes = known[name]
        limits = partition.limits
        limits.max_mem_mb = min(limits.max_mem_mb, memory)
        limits.max_runtime = min(limits.max_runtime, minutes)
    return list(given.values())


def read(path: Path) -> dict[str, Partition]:
    """The partitions of a file by name.

    Raises:
        AlignlabError: a key or a value is none; the message says which.
    """
    whole = read_yaml(path)
    listed = whole.get("partitions") if isinstance(whole, dict) else None
    if not isinstance(listed, dict) or not listed:
        raise AlignlabError(f"{path}: partitions: expected names of partitions, with their limits")
    found = {}
    for name, limits in listed.items():
        if not isinstance(name, str) or not isinstance(limits, dict):
            raise AlignlabError(
                f"{path}: partitions.{name}: expected a name and its limits, such as {{max_gpu: 0}}"
            )
        own = dict(limits)
        cluster = next((own.pop(key) for key in CLUSTER if key in own), None)
        checked = {key: _checked(path, name, key, value) for key, value in own.items()}
        found[name] = Partition(name, PartitionLimits(**checked), cluster)
    return found


def _checked(path: Path, partition: str, key: str, value: Any) -> Any:
    place = f"{path}: partitions.{partition}.{key}"
    if key not in LIMITS:
        raise AlignlabError(f"{place}: unknown key; there are {', '.join(sorted(LIMITS))}")
    if key == "max_runtime":
        if (minutes := minutes_of(value)) is None or minutes == inf:
            raise AlignlabError(
                f"{place}: {value!r} is no time; say 240 (minutes), 4h or 2-12:00:00, or nothing"
            )
        return minutes
    if LIMITS[key] in (int, float) and (
        isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0
    ):
        raise AlignlabError(f"{place}: expected a number, not {value!r}")
    return value


def minutes_of(time: Any) -> float | None:
    """Minutes of a time as people, Snakemake or Slurm write it; null if it is none.

    `60:30` is none: Slurm's plugin reads hours and minutes, and Slurm minutes and seconds.
    """
    if isinstance(time, int | float) and not isinstance(time, bool):
        return time if time > 0 else None
    text = str(time).strip().lower()
    if text in ("infinite", "unlimited"):
        return inf
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text) or None
    if re.fullmatch(rf"(?:{SPELLED.pattern}\s*)+", text):
        return sum(float(number) * UNITS[unit] for number, unit in SPELLED.findall(text))
    if ("-" in text or text.count(":") == 2) and (clock := CLOCK.fullmatch(text)):
        days, hours, minutes, seconds = (float(part or 0) for part in clock.groups())
        return days * 24 * 60 + hours * 60 + minutes + seconds / 60
    return None


def slurms() -> dict[str, tuple[float, float]]:
    """Of every partition of the cluster, MB of its largest node and minutes of its longest job.

    Raises:
        AlignlabError: there is no Slurm here, or it does not answer.
    """
    if missing := [name for name in COMMANDS if not shutil.which(name)]:
        raise AlignlabError(
            f"profile slurm: no {', '.join(missing)} here; run Snakemake on a machine that submits "
            "Slurm jobs, or on this one with `snakemake --cores 2`"
        )
    asked = subprocess.run(
        ["sinfo", "--noheader", "--exact", "--format=%R|%m|%l"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        raise AlignlabError(f"profile slurm: Slurm does not answer: {asked.stderr.strip()}")
    found: dict[str, tuple[float, float]] = {}
    for line in asked.stdout.splitlines():
        name, memory, longest = line.rsplit("|", 2)
        largest = max(found.get(name, (0.0, 0.0))[0], float(memory.rstrip("+") or 0))
        # sinfo writes 30 minutes as 30:00.
        whole = f"0:{longest}" if longest.count(":") == 1 and "-" not in longest else longest
        found[name] = (largest, minutes_of(whole) or inf)
    return found


def fitting(partitions: Sequence[Partition], job: Any) -> list[Partition]:
    """The partitions that a job may be sent to."""
    return [each for each in partitions if each.score_job_fit(job) is not None]


def most(partitions: Sequence[Partition], job: Any, resource: str) -> float:
    """How much of a resource a job can be given at most."""
    limit = {"mem_mb": "max_mem_mb", "runtime": "max_runtime"}[resource]
    return max((getattr(p.limits, limit) for p in fitting(partitions, job)), default=inf)


def limits_of(partition: Partition) -> dict[str, float]:
    """What a job may ask for there, by resource."""
    limits = partition.limits
    return {"mem_mb": limits.max_mem_mb, "runtime": limits.max_runtime, "gpu": limits.max_gpu}


def spelled(amounts: Mapping[str, Any]) -> str:
    """Amounts of resources in words; unknown and infinite ones are left out."""
    units = {"mem_mb": "{:.0f} MB", "runtime": "{:.0f} minutes", "gpu": "{:.0f} GPUs"}
    told = [units[name].format(n) for name, n in amounts.items() if n is not None and n != inf]
    return ", ".join(told) or "without limits"
