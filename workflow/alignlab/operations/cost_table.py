"""What a run would cost, as a table: before anything is submitted, and before a disk is full.

    alignlab check urial-paper
    snakemake --dry-run --config experiment=urial-paper

Tokens, GPU hours, dollars and bytes of what the store lacks; `alignlab.operations.costs` says how
they are counted, `alignlab.operations.throughput` how fast models are taken to be.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from alignlab.core.errors import AlignlabError
from alignlab.experiment.plan import Plan
from alignlab.operations.costs import ROW, Cost, Costing, missing, uncounted
from alignlab.operations.judge_costs import judge_cost
from alignlab.operations.throughput import GUESSED_DEVICE
from alignlab.planning.artefact import STORE

JUDGED = ("judgements", "preferences")
HEADER = f"  {'to be made':<14}{'read':>9}{'written':>9}{'GPU hours':>11}{'US$':>10}{'disk':>10}"


def costs_of(plan: Plan, keys: Collection[str] | None = None) -> list[Cost]:
    """What each artefact costs that the store lacks; only those with some keys, if given."""
    costing = Costing(plan)
    wanted = (a for a in missing(plan) if keys is None or a.key in keys)
    return [judge_cost(costing, a) if a.stage in JUDGED else costing.cost(a) for a in wanted]


def table(plan: Plan, costs: Sequence[Cost]) -> str:
    """A line a stage, their sum, and what the figures rest on."""
    stages = dict.fromkeys(cost.stage for cost in costs if cost.disk > ROW or cost.read)
    lines = [HEADER]
    lines += [_line(stage, [c for c in costs if c.stage == stage]) for stage in stages]
    lines += [_line("all", costs), "  Tokens, dollars and disk are upper bounds."]
    bases = sorted({cost.basis for cost in costs if cost.basis and cost.gpu_seconds})
    lines += [
        f"  ~ is a guess: {GUESSED_DEVICE}"
        if basis == "guess"
        else f"  GPU hours without ~: past jobs on {basis}"
        for basis in bases
    ]
    if unknown := uncounted(plan):
        lines.append(f"  Not counted before they are fetched: {', '.join(unknown)}")
    return "\n".join(lines)


def check_disk(costs: Sequence[Cost], store: Path = STORE) -> None:
    """Refuse a run that the disk cannot hold.

    Counted is what the store will hold; a hub's own cache and temporary files come on top.

    Raises:
        AlignlabError: less is free where the store lies; the message says how much of each.
    """
    needed = sum(cost.disk for cost in costs)
    there = next(folder for folder in (store, *store.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        largest = max(costs, key=lambda cost: cost.disk)
        raise AlignlabError(
            f"{store}: the run needs up to {_bytes(needed)} and {_bytes(free)} are free; most is "
            f"for {largest.stage}. Free some space, or put results/store elsewhere by a link"
        )


def _line(name: str, costs: Sequence[Cost]) -> str:
    known = [cost.gpu_seconds for cost in costs if cost.gpu_seconds is not None]
    guessed = any(cost.basis == "guess" and cost.gpu_seconds for cost in costs)
    hours = _hours(sum(known) / 3600)
    paid = [cost.usd for cost in costs if cost.usd is not None]
    usd = f"{sum(paid):,.2f}" if sum(paid) else ""
    usd += "" if len(paid) == len(costs) else " + ?"
    read, written = (_count(sum(getattr(c, side) for c in costs)) for side in ("read", "written"))
    disk = _bytes(sum(cost.disk for cost in costs))
    return f"  {name:<14}{read:>9}{written:>9}{'~' * guessed + hours:>11}{usd:>10}{disk:>10}"


def _hours(hours: float) -> str:
    if not hours:
        return ""
    return f"{hours:,.2f}" if hours >= 0.01 else "<0.01"


def _count(tokens: int) -> str:
    if not tokens:
        return ""
    return f"{tokens / 1e6:,.1f}M" if tokens >= 10**6 else f"{tokens / 1e3:,.1f}k"


def _bytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 10**9 else f"{size / 1e6:,.1f} MB"
