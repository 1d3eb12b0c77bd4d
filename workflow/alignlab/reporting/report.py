"""Builds an experiment's report: one HTML file that opens from disk, with nothing fetched.

    snakemake --cores 2 results/demo/report/index.html

Model text is hostile input. It reaches the page only as JSON and is placed with `textContent`; the
page's own script runs by its hash, and a content security policy refuses every other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alignlab.core.tables import replacing
from alignlab.reporting import figures as drawing
from alignlab.reporting import headlines, judged, judged_page, learning, page, studies
from alignlab.reporting.breakdown import read_breakdown
from alignlab.reporting.inputs import Inputs
from alignlab.reporting.payload import PROMPT_LIMIT, embed, payload
from alignlab.reporting.results import Results, read

SCRIPTS = (
    *("page.js", "numbers.js", "report.js", "scenarios.js", "leaderboard.js"),
    *("breakdown.js", "judgements.js", "answers.js"),
)
STYLES = ("report.css", "learning.css", "judged.css", "answers.css")
CAPTIONS = {
    "differences": (
        "Paired differences from the baseline",
        "Mean difference by prompt and its 95% paired interval. A filled dot is told "
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
    spec: Mapping[str, Any],
    inputs: Inputs,
    provenance: Mapping[str, Any],
    output: Path,
    figures: Path,
) -> None:
    """Write the page to `output` and its figures to `figures`/*.svg.

    Args:
        spec: `experiment`, `title`, `baseline`, `digest`, and `arms` in order of display, each
            with `name`, `model`, `role`, `method` (its `kind` and keys) and `decoding`;
            `scenarios`, each with `name` and `title`; `tuned`, each with `name`, `base`,
            `trainset` and `trainer`; `judged`, in order of display, with `metric`, `judge`,
            `aspect`, `rubric`, `label`, `unit`, `better`, `description`, `category`, `model`,
            `judged_self` and `min_coverage` for each aspect that a judge rates; `judges`, by name,
            with `model` and `judged_self` of those that only compare, too.
        inputs: the experiment's tables.
        provenance: what `provenance.write_manifest` writes.
        output: the page.
        figures: folder of the figures.

    Raises:
        AlignlabError: a table is missing or damaged.
    """
    results = read(spec, inputs)
    groups = read_breakdown(inputs.breakdown, results)
    drawn = drawing.draw(results, figures)
    shift = inputs.shift_figures
    context = {
        **_words(results),
        "spec": spec,
        "provenance": provenance,
        "judges": judged_page.read(spec, results, inputs, figures),
        "learning": learning.read(spec, results, inputs, figures),
        "figures": [(*CAPTIONS[name], page.inline(path, name)) for name, path in drawn.items()],
        "shares": page.inline(shift / "shift_shares.svg", "shift_shares") if shift else None,
        "breakdown": groups,
        "data": embed(payload(results, provenance["first_prompts"]) | {"breakdown": groups}),
    }
    with replacing(output) as temporary:
        text = page.render("report.html", STYLES, SCRIPTS, context)
        temporary.write_text(text, encoding="utf-8")


def _words(results: Results) -> dict[str, Any]:
    """What the page says of the results, and whom it says it of."""
    found = headlines.headlines(results)
    labels = {name: metric.label for name, metric in results.about.items()}
    return {
        "facts": _facts(results),
        "opening": headlines.opening(results, found),
        "headlines": found,
        "unstated": judged.doubts(results.aspects.values(), labels),
        "baseline": results.baseline,
        "cards": {arm["name"]: arm for arm in results.arms},
        "studies": studies,
        "shown": min(PROMPT_LIMIT, len(results.prompts)),
        "total": len(results.prompts),
    }


def _facts(results: Results) -> list[tuple[str, str, str]]:
    """Key facts of the header: (what, how many, of which kind)."""
    sets = Counter((row["dataset"], row["category"]) for row in results.prompts)
    split = ", ".join(f"{count} {category} from {name}" for (name, category), count in sets.items())
    answers = sum(len(results.rows(arm)) for arm in results.names)
    return [
        ("Arms", f"{len(results.arms)}", f"against {results.baseline}"),
        ("Prompts", f"{len(results.prompts):,}", split),
        ("Answers", f"{answers:,}", "one for each arm, prompt, turn and sample"),
    ]
