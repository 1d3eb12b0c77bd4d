"""What a Slurm job asks for when it is tried again: more of what it lacked, and of nothing else.

The process that submits jobs learns why they failed. A submitted job evaluates its resources anew;
it finds what was asked for it in its environment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

VARIABLE = "ALIGNLAB_RETRY"
_asked: dict[str, dict[str, int]] = json.loads(os.environ.get(VARIABLE, "{}"))


def submitted() -> bool:
    """Whether this process is a job that our executor submitted."""
    return VARIABLE in os.environ


def name_of(rule: str, wildcards: Iterable[str]) -> str:
    """What a job is known by: its wildcards hold a digest; a rule without any has one job."""
    return "_".join(wildcards) or rule


def asked(job: str, resource: str, first: int) -> int:
    """How much of a resource a job asks for, where the first try asked for so much."""
    return max(first, _asked.get(job, {}).get(resource, 0))


def ask(job: str, resource: str, amount: int) -> None:
    """Ask for so much when a job is tried again."""
    _asked.setdefault(job, {})[resource] = amount


def told(job: str) -> str:
    """What the environment of a job says, under `VARIABLE`."""
    return json.dumps({job: _asked[job]} if job in _asked else {})
