"""What a run would cost, as a table, before anything is submitted; refuses one that no disk holds.

Tokens, GPU hours, dollars and bytes of what the store lacks; `alignlab.planning.forecast` says how
they are counted and how fast models are taken to be.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from alignlab.core.errors import AlignlabError
from alignlab.experiment.plan import Plan
from alignlab.judging.config import ApiJudgeConfig
from alignlab.judging.stages import UsedJudge, paid
from alignlab.operations.throughput import rates
from alignlab.planning.artefact import STORE
from alignlab.planning.forecast import GUESSED_DEVICE, ROW, Cost, Speeds

HEADER = f"  {'to be made':<14}{'read':>9}{'written':>9}{'GPU hours':>11}{'US$':>10}{'disk':>10}"


def costs_of(plan: Plan, keys: Collection[str] | None = None) -> list[Cost]:
    """What each artefact costs that the store lacks; only those with some keys, if given."""
    speeds = Speeds(plan.experiment.runtime.batch_size, rates())
    missing = (artefact for artefact in plan if not artefact.path.exists())
    return [a.cost(speeds) for a in missing if keys is None or a.key in keys]


def previews(plan: Plan) -> Iterator[str]:
    """A line for every judge that is paid for: calls, tokens and dollars of a first run.

    An estimate: answers are taken to be as long as their arm may make them. What the store holds
    already is asked again only if an answer changed.
    """
    for name, judge in plan.judges.items():
        if isinstance(judge.entry, ApiJudgeConfig):
            yield f"  {name}: {_described(plan, judge, judge.entry)}"


def _described(plan: Plan, judge: UsedJudge, entry: ApiJudgeConfig) -> str:
    made = plan.judged[judge.config.name]
    found = [each for table in made for each in paid(table)]
    if not any(each.calls for each in found):
        return f"{len(made)} tables; what they cost can be said once the prompts are fetched"
    calls = sum(each.calls for each in found)
    sent = sum(each.prompt_tokens for each in found)
    answered = sum(each.completion_tokens for each in found)
    usd = f"${sum(each.usd or 0 for each in found):.2f}" if entry.price else "price unknown"
    limit = f", at most ${judge.config.max_usd:g} a table" if judge.config.max_usd else ""
    tokens = f"{sent / 1e3:,.0f}k tokens sent, {answered / 1e3:,.0f}k answered"
    return f"about {calls:,} calls of {entry.model}, {tokens}, {usd}{limit}"


def uncounted(plan: Plan) -> list[str]:
    """Datasets of which neither the store nor the catalog knows how many rows are asked."""
    return sorted({a.name for a in plan if a.stage == "prompts" and not a.questions()})


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
