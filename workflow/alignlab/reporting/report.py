"""Builds an experiment's report: one HTML file that opens from disk, with nothing fetched.

    snakemake --cores 2 results/demo/report/index.html

Model text is hostile input. It reaches the page only as JSON and is placed with `textContent`; the
page's own script runs by its hash, and a content security policy refuses every other.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from alignlab.reporting import figures as drawing
from alignlab.reporting import formats, headlines
from alignlab.reporting.payload import PROMPT_LIMIT, embed, payload
from alignlab.reporting.results import Results, read
from alignlab.tables import replacing

OPTIONAL = ("artefacts", "versions", "commit", "hardware", "timings", "created", "first_prompts")
SCRIPTS = ("report.js", "leaderboard.js", "answers.js")
STYLES = ("report.css", "answers.css")
CAPTIONS = {
    "differences": (
        "Paired differences from the baseline",
        "Mean difference by prompt and its 95% paired bootstrap interval. A filled dot is told "
        "apart from zero after Holm's correction; a hollow one is not.",
    ),
    "finish": (
        "How answers ended",
        "Share of each arm's answers by finish reason. A base model that never stops is cut at "
        "the length limit, which moves every length-dependent metric.",
    ),
    "lengths": (
        "How long answers are",
        "Words per answer: a tick for each length that occurs, a bar over the middle half, a dot "
        "at the median.",
    ),
}


def build_report(
    spec: dict[str, Any],
    statistics: Path,
    comparisons: Path,
    responses: dict[str, Path],
    metrics: dict[str, Path],
    prompts: list[Path],
    provenance: dict[str, Any],
    output: Path,
    figures: Path,
) -> None:
    """Write the page to `output` and its figures to `figures`/*.svg.

    Args:
        spec: `experiment`, `title`, `baseline`, `digest`, and `arms` in order of display, each
            with `name`, `model`, `role`, `method` (its `kind` and keys) and `decoding`.
        statistics: table of that name.
        comparisons: table of that name; rows without the baseline are left out.
        responses: arm → responses table.
        metrics: arm → metrics table.
        prompts: prompts tables, in order of display.
        provenance: any of `artefacts`, `versions`, `commit`, `hardware`, `timings`, `created` and
            `first_prompts` (arm → the first prompt as the model was given it).
        output: the page.
        figures: folder of the figures.

    Raises:
        AlignlabError: a table is missing or damaged, or an arm has no responses.
    """
    results = read(spec, statistics, comparisons, responses, metrics, prompts)
    drawn = drawing.draw(results, figures)
    page = render(spec, results, provenance, drawn)
    with replacing(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render(
    spec: Mapping[str, Any],
    results: Results,
    provenance: Mapping[str, Any],
    drawn: Mapping[str, Path],
) -> str:
    """The page as text: the same for the same input."""
    loader = PackageLoader("alignlab.reporting", ".")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"formats": formats}
    provenance = dict.fromkeys(OPTIONAL) | dict(provenance)
    script = "\n".join(_asset(name) for name in SCRIPTS)
    found = headlines.headlines(results)
    return environment.get_template("report.html").render(
        spec=spec,
        facts=_facts(results),
        opening=headlines.opening(results, found),
        headlines=found,
        baseline=results.baseline,
        figures=[(*CAPTIONS[name], _inline(path, name)) for name, path in drawn.items()],
        shown=min(PROMPT_LIMIT, len(results.prompts)),
        total=len(results.prompts),
        provenance=provenance,
        data=embed(payload(results, provenance["first_prompts"] or {})),
        style=Markup("\n".join(_asset(name) for name in STYLES)),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _asset(name: str) -> str:
    return (files("alignlab.reporting") / name).read_text(encoding="utf-8")


def _facts(results: Results) -> list[tuple[str, str, str]]:
    """Key facts of the header: (what, how many, of which kind)."""
    sets = Counter((row["dataset"], row["category"]) for row in results.prompts)
    split = ", ".join(f"{count} {category} from {name}" for (name, category), count in sets.items())
    answers = sum(len(results.rows(arm)) for arm in results.names)
    return [
        ("Arms", f"{len(results.arms)}", f"against {results.baseline}"),
        ("Prompts", f"{len(results.prompts):,}", split),
        ("Answers", f"{answers:,}", "one for each arm, prompt and turn"),
    ]


def _inline(path: Path, name: str) -> Markup:
    """An SVG file as markup of the page: without prologue, and with ids of its own."""
    svg = path.read_text(encoding="utf-8")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    return Markup(re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg))
