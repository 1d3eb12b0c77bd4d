"""Builds an experiment's report: one HTML file that opens from disk, with nothing fetched.

Model text is hostile input. It reaches the page only as JSON and is placed with `textContent`; the
page's own script runs by its hash, and a content security policy refuses every other.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from alignlab.core.tables import Row, replacing
from alignlab.reporting import page
from alignlab.reporting.arms import boards, measures
from alignlab.reporting.arms import figures as drawing
from alignlab.reporting.arms.measures import Measure, measures_by_metric
from alignlab.reporting.board import Board, RowHead
from alignlab.reporting.inputs import ReadAspect, ReadResults, ReportJob, doubts, read
from alignlab.reporting.judges import page as judges
from alignlab.reporting.learning import page as learning

SCRIPTS = (
    *("page.js", "boards.js", "browser.js"),
    *("report/judgements.js", "report/answers.js"),
)
STYLES = ("base.css", "report/report.css")
PROMPT_LIMIT = 400
"""Prompts whose answers the page holds."""
CAPTIONS = {
    "differences": (
        "Paired differences from the baseline",
        "Mean difference by prompt and its 95% paired interval. A filled dot differs "
        "significantly from zero after Holm's correction; a hollow one does not.",
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


def build_report(job: ReportJob) -> None:
    """Write the page and its figures.

    Raises:
        AlignlabError: a table is missing or damaged.
    """
    results = read(job)
    heads = boards.heads(results.arms, results.baseline)
    drawn = drawing.draw(results, job.figures)
    provenance = json.loads(job.manifest.read_text(encoding="utf-8"))
    context = {
        **_words(results),
        "spec": job.spec,
        "provenance": provenance,
        "contrasts": _contrasts(job, results, heads),
        "leaderboard": boards.leaderboard(results, heads),
        "breakdown": boards.breakdown(job.breakdown, results),
        "judges": judges.read(job, results, heads),
        "learning": learning.read(job, results, heads),
        "figures": [(*CAPTIONS[name], page.inline(path, name)) for name, path in drawn.items()],
        "shares": page.inline(job.shares, "shift_shares") if job.shares else None,
        "first_prompts": _first_prompts(results, provenance["first_prompts"]),
        "data": page.embed(payload(results)),
    }
    with replacing(job.page) as temporary:
        text = page.render("report/report.html", STYLES, SCRIPTS, context)
        temporary.write_text(text, encoding="utf-8")


def _words(results: ReadResults) -> dict[str, Any]:
    """What the page says of the results, and whom it says it of."""
    found = measures.headlines(results)
    labels = {name: metric.label for name, metric in results.about.items()}
    return {
        "facts": _facts(results),
        "opening": measures.opening(results, found),
        "headlines": found,
        "unstated": doubts(results.aspects.values(), labels),
        "baseline": results.baseline,
        "shown": min(PROMPT_LIMIT, len(results.prompts)),
        "total": len(results.prompts),
    }


def _contrasts(
    job: ReportJob, results: ReadResults, heads: Mapping[str, RowHead]
) -> list[tuple[Board, list[tuple[str, list[str]]]]]:
    """Boards of the contrasts, each with (heading, sentences) a measure."""
    path = job.contrasts
    found = measures.read_contrasts(path, results.about, results.aspects) if path else []
    return [
        (boards.contrast(each, heads), [(m.label, measures.sentences(m)) for m in each.measures])
        for each in found
    ]


def _first_prompts(results: ReadResults, texts: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, texts[name]) for name in results.names if name in texts]


def _facts(results: ReadResults) -> list[tuple[str, str, str]]:
    """Key facts of the header: (what, how many, of which kind)."""
    sets = Counter((row["dataset"], row["category"]) for row in results.prompts)
    split = ", ".join(f"{count} {category} from {name}" for (name, category), count in sets.items())
    answers = sum(len(results.rows(arm)) for arm in results.names)
    return [
        ("Arms", f"{len(results.arms)}", f"against {results.baseline}"),
        ("Prompts", f"{len(results.prompts):,}", split),
        ("Answers", f"{answers:,}", "one for each arm, prompt, turn and sample"),
    ]


def payload(results: ReadResults) -> dict[str, Any]:
    """What the browser of answers draws: arms, metrics and the first `PROMPT_LIMIT` prompts."""
    return {
        "arms": [{"name": arm.name, "role": arm.role} for arm in results.arms],
        "metrics": [_metric(measure) for measure in measures_by_metric(results)],
        "prompts": [_prompt(results, row) for row in results.prompts[:PROMPT_LIMIT]],
    }


def _metric(measure: Measure) -> dict[str, Any]:
    return {
        "name": measure.metric,
        "label": measure.label,
        "description": measure.description,
        "main": measure.main,
        "decimals": min(2, measure.places),
        "aspect": _aspect(measure.aspect) if measure.aspect else None,
    }


def _aspect(aspect: ReadAspect) -> dict[str, Any]:
    return {
        "judge": aspect.judge,
        "label": aspect.label,
        "doubt": aspect.doubt,
        "ownArms": aspect.own_arms,
    }


def _prompt(results: ReadResults, prompt: Row) -> dict[str, Any]:
    key = prompt["prompt_id"]
    return {
        "id": key,
        "dataset": prompt["dataset"],
        "category": prompt["category"],
        "tags": prompt["tags"],
        "turns": prompt["turns"],
        "answers": {
            arm: [_answer(results, arm, row) for row in results.answers[arm][key]]
            for arm in results.names
            if key in results.answers[arm]
        },
    }


def _answer(results: ReadResults, arm: str, row: Row) -> Row:
    place = row["prompt_id"], row["turn"]
    values = results.measured[arm].get(place, {})
    said = results.judgements[arm].get((*place, row["sample"]), {})
    return {
        "turn": row["turn"],
        "text": row["text"],
        # Most answers are kept as generated; those are stored once.
        "raw": None if row["raw_text"] == row["text"] else row["raw_text"],
        **({"thoughts": row["thoughts"]} if row["thoughts"] else {}),
        "finish": row["finish_reason"],
        "trimmed": row["trimmed"],
        "metrics": {name: _short(value) for name, value in values.items() if value is not None},
        "judged": {name: _judgement(row) for name, row in said.items()},
    }


def _judgement(row: Row) -> dict[str, Any]:
    """What a judge said of one aspect, without what it did not say; there are very many."""
    score, shares = row["score"], row["distribution"]
    said = {
        "status": None if row["status"] == "scored" else row["status"],
        "score": None if score is None else round(score, 2),
        "shares": [round(share, 2) for share in shares] if shares else None,
        "reason": row["reason"],
    }
    return {key: value for key, value in said.items() if value is not None}


def _short(value: float | None) -> float | None:
    """Five significant digits: more than is shown, and half the page's size."""
    return None if value is None else float(f"{value:.5g}")
