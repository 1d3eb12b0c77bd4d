"""Builds an experiment's report: one HTML file that opens from disk, with nothing fetched.

    snakemake --cores 2 results/demo/report/index.html

Model text is hostile input. It reaches the page only as JSON and is placed with `textContent`; the
page's own script runs by its hash, and a content security policy refuses every other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignlab.reporting import figures as drawing
from alignlab.reporting import headlines, judged, judged_page, learning, page, studies
from alignlab.reporting.breakdown import read_breakdown
from alignlab.reporting.payload import PROMPT_LIMIT, embed, payload
from alignlab.reporting.results import Results, read
from alignlab.tables import replacing

if TYPE_CHECKING:
    from markupsafe import Markup

OPTIONAL = (
    *("artefacts", "engine_checks", "versions", "commit", "hardware", "timings", "created"),
    "first_prompts",
)
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
    spec: dict[str, Any],
    statistics: Path,
    comparisons: Path,
    responses: dict[str, Path],
    metrics: dict[str, Path],
    prompts: list[Path],
    provenance: dict[str, Any],
    output: Path,
    figures: Path,
    shift: Path | None = None,
    scenarios: Path | None = None,
    discrimination: Path | None = None,
    trainsets: Path | None = None,
    training: Mapping[str, Path] | None = None,
    judgements: Mapping[str, Sequence[Path]] | None = None,
    qualification: Path | None = None,
    winrates: Path | None = None,
    breakdown: Path | None = None,
) -> None:
    """Write the page to `output` and its figures to `figures`/*.svg.

    Args:
        spec: `experiment`, `title`, `baseline`, `digest`, and `arms` in order of display, each
            with `name`, `model`, `role`, `method` (its `kind` and keys) and `decoding`;
            `scenarios` (`name`, `title`) with the table of that name, and `tuned` (`name`, `base`,
            `trainset`, `trainer`) with `training`; `judged`, in order of display, with `metric`,
            `judge`, `aspect`, `rubric`, `label`, `unit`, `better`, `description`, `category`,
            `model`, `judged_self` and `min_coverage` for each aspect that a judge rates; `judges`,
            by name, with `model` and `judged_self` of those that only compare, too.
        statistics: table of that name.
        comparisons: table of that name; rows without the baseline are left out.
        responses: arm → responses table.
        metrics: arm → metrics table.
        prompts: prompts tables, in order of display.
        provenance: any of `artefacts`, `versions`, `commit`, `hardware`, `timings`, `created` and
            `first_prompts` (arm → the first prompt as the model was given it).
        output: the page.
        figures: folder of the figures.
        shift: folder of the token-shift figures, where the experiment has pairs.
        scenarios: table of that name, where the experiment has some.
        discrimination: table of that name, where the experiment has studies.
        trainsets: table of that name, where the experiment makes some.
        training: name of a tuned model → its table `training`, where the experiment tunes some.
        judgements: arm → its judgements tables, where judges score some.
        qualification: table of that name, where a judge was tried; scores of others are greyed.
        winrates: table of that name, where judges compare arms.
        breakdown: table of that name.

    Raises:
        AlignlabError: a table is missing or damaged, or an arm has no responses.
    """
    results = read(
        spec, statistics, comparisons, responses, metrics, prompts, qualification, judgements
    )
    drawn = drawing.draw(results, figures)
    learnt = learning.read(spec, results, figures, scenarios, discrimination, trainsets, training)
    about = spec.get("judges") or {}
    judges = judged_page.read(results, figures, qualification, winrates, about)
    groups = read_breakdown(breakdown, results) if breakdown else None
    shares = page.inline(shift / "shift_shares.svg", "shift_shares") if shift else None
    text = render(spec, results, provenance, drawn, learnt, judges, groups, shares)
    with replacing(output) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render(
    spec: Mapping[str, Any],
    results: Results,
    provenance: Mapping[str, Any],
    drawn: Mapping[str, Path],
    learnt: learning.Learning,
    judges: Sequence[judged_page.ShownJudge],
    groups: dict[str, Any] | None,
    shares: Markup | None,
) -> str:
    """The page as text: the same for the same input."""
    provenance = dict.fromkeys(OPTIONAL) | dict(provenance)
    found = headlines.headlines(results)
    labels = {name: metric.label for name, metric in results.about.items()}
    context = {
        "spec": spec,
        "facts": _facts(results),
        "opening": headlines.opening(results, found),
        "headlines": found,
        "unstated": judged.doubts(results.aspects.values(), labels),
        "baseline": results.baseline,
        "judges": judges,
        "breakdown": groups,
        "learning": learnt,
        "studies": studies,
        "cards": {arm["name"]: arm for arm in results.arms},
        "figures": [(*CAPTIONS[name], page.inline(path, name)) for name, path in drawn.items()],
        "shares": shares,
        "shown": min(PROMPT_LIMIT, len(results.prompts)),
        "total": len(results.prompts),
        "provenance": provenance,
        "data": embed(payload(results, provenance["first_prompts"] or {}) | {"breakdown": groups}),
    }
    return page.render("report.html", STYLES, SCRIPTS, context)


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
