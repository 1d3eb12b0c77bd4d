"""Draw docs/architecture.svg from the code: stages, what they are made from, and their rules.

python docs/draw_architecture.py            # a test fails where the picture is behind
"""

from __future__ import annotations

import re
from collections import defaultdict
from html import escape
from pathlib import Path
from typing import NamedTuple

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import NAMES, Plan
from alignlab.experiment.results import RESULT_STAGES, Results
from alignlab.operations.evidence.trees import experiments
from alignlab.planning.artefact import Artefact

PICTURE = Path(__file__).with_name("architecture.svg")
RULES = Path("workflow/rules")
WIDTH, LINE, GAP_X, GAP_Y, MARGIN = 160, 14, 26, 34, 14
STYLE = (
    "text{font:11px sans-serif;fill:#222}.stage{font-weight:bold}.rule{font-family:monospace;"
    "font-size:10px}rect{stroke:#555;fill:#eef3fa}.result rect{fill:#fbf3e2}"
    "path{fill:none;stroke:#8a97a8}svg{background:#fff}.tip{fill:#8a97a8}"
)
TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>'
)


class Box(NamedTuple):
    """Where a stage is drawn."""

    x: float
    y: float
    height: float


def stages() -> dict[str, set[str]]:
    """Stage → stages that it is made from, over every experiment that is evidence."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in experiments():
        plan = Plan(load_experiment(name))
        results = Results(plan)
        pages = (page for page in (results.shift_page, results.report) if page)
        for artefact in (*plan, *results.made(), *pages):
            found[_name(artefact)] |= {
                _name(parent) for role in artefact.parents for parent in artefact.parent(role)
            }
    return {stage: found[stage] - {stage} for stage in sorted(found, key=_order)}


def _name(artefact: Artefact) -> str:
    if artefact.home is None:
        return artefact.stage
    return f"{artefact.home.name}/{artefact.stage}"


def _order(stage: str) -> int:
    results = [stage.name for stage in RESULT_STAGES]
    if stage in NAMES:
        return NAMES.index(stage)
    return len(NAMES) + results.index(stage.partition("/")[2])


def rules() -> dict[str, list[str]]:
    """Stage → rules whose outputs are its artefacts or tables."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(RULES.glob("*.smk")):
        for text in re.split(r"(?m)^ *rule ", path.read_text(encoding="utf-8"))[1:]:
            name = text.partition(":")[0]
            output = re.search(
                r"(?s) output:\n(.*?)\n +(?:log|benchmark|wildcard_constraints):", text
            )
            for stage in _made(output[1] if output else ""):
                found[stage].append(name)
    return found


def _made(output: str) -> list[str]:
    stored = re.findall(r'STORE / "(\w+)"', output)
    tables = re.findall(r'TABLES / "(\w+)\.parquet"', output)
    if "SHIFT_TABLES" in output:
        tables.append("shift_statistics")
    pages = re.findall(r'REPORT / "(\w+)\.html"', output)
    named = [f"tables/{table}" for table in tables[:1]] if len(tables) < 9 else []
    return [*stored, *named, *(f"report/{'report' if p == 'index' else p}" for p in pages)]


def depths(made_from: dict[str, set[str]]) -> dict[str, int]:
    """Stage → its column: behind all that it is made from, but for answers that are asked about."""
    found: dict[str, int] = {}
    for stage in made_from:
        before = (parent for parent in made_from[stage] if parent in found)
        found[stage] = 1 + max((found[parent] for parent in before), default=-1)
    return found


def shown(made_from: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Edges without those that a longer way says too."""
    place = {stage: at for at, stage in enumerate(made_from)}

    def behind(stage: str) -> set[str]:
        found: set[str] = set()
        for parent in made_from[stage]:
            if place[parent] < place[stage]:
                found |= {parent} | behind(parent)
        return found

    edges = [(parent, stage) for stage, parents in made_from.items() for parent in sorted(parents)]
    ways = {
        s: set().union(*(behind(p) for p in ps if place[p] < place[s]))
        for s, ps in made_from.items()
    }
    return [(p, s) for p, s in edges if place[p] > place[s] or p not in ways[s]]


def drawn() -> str:
    """The picture as SVG: a row a depth."""
    made_from, by_rule = stages(), rules()
    rows: dict[int, list[str]] = defaultdict(list)
    for stage, depth in depths(made_from).items():
        rows[depth].append(stage)
    widest = max(map(len, rows.values())) * (WIDTH + GAP_X) - GAP_X + 2 * MARGIN
    boxes: dict[str, Box] = {}
    top = float(MARGIN)
    for _, names in sorted(rows.items()):
        left = (widest - len(names) * (WIDTH + GAP_X) + GAP_X) / 2
        heights = [LINE * (1.6 + len(by_rule[stage])) for stage in names]
        for at, (stage, height) in enumerate(zip(names, heights, strict=True)):
            boxes[stage] = Box(left + at * (WIDTH + GAP_X), top, height)
        top += max(heights) + GAP_Y
    parts = [_arrow(boxes[parent], boxes[stage]) for parent, stage in shown(made_from)]
    parts += [_box(stage, boxes[stage], by_rule[stage]) for stage in made_from]
    size = f'width="{widest:.0f}" height="{top:.0f}" viewBox="0 0 {widest:.0f} {top:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>{TIP}'
    return "\n".join([head, *parts, "</svg>", ""])


def _arrow(start: Box, end: Box) -> str:
    """From below a box to above another; back, where answers are asked about, it is dashed."""
    back = end.y <= start.y
    x1, y1 = start.x + WIDTH / 2, start.y + (0 if back else start.height)
    x2, y2 = end.x + WIDTH / 2, end.y + (end.height if back else 0)
    bend = (y2 - y1) / 2
    curve = f"C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"
    dashes = ' stroke-dasharray="4 3"' if back else ""
    return f'<path d="M{x1:.0f} {y1:.0f} {curve}" marker-end="url(#tip)"{dashes}/>'


def _box(stage: str, box: Box, rules: list[str]) -> str:
    x, y, height = box
    kind = "" if stage in NAMES else ' class="result"'
    lines = [f'<text class="stage" x="{x + 8:.0f}" y="{y + LINE:.0f}">{escape(stage)}</text>']
    lines += [
        f'<text class="rule" x="{x + 8:.0f}" y="{y + LINE * (2.1 + at):.0f}">{escape(rule)}</text>'
        for at, rule in enumerate(rules)
    ]
    shape = f'<rect x="{x:.0f}" y="{y:.0f}" width="{WIDTH}" height="{height:.0f}" rx="4"/>'
    return f"<g{kind}>{shape}{''.join(lines)}</g>"


if __name__ == "__main__":
    PICTURE.write_text(drawn(), encoding="utf-8")
