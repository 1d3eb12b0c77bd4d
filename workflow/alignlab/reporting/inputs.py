"""A report's inputs: its job, its tables, and which judged aspects are in doubt."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.judging.qualification import status
from alignlab.learning.config import ScenarioConfig, StudyCard
from alignlab.metrics.definitions import METRICS, Metric
from alignlab.planning.artefact import Job, Spec
from alignlab.reporting.cards import ArmCard, AspectCard, JudgeCard, TunedCard
from alignlab.shift.config import PairCard

# `arm → metric → row`, one for each slice or dataset.
Grid = dict[str, dict[str, Row]]
# What the headlines, the forest plot and the first view of the leaderboard are about, with what
# judges rate before it.
MAIN = ("clean_stop", "echo", "rep_4", "relevance", "opener", "refusal", "num_words")
SHOWN = [
    *("prompt_id", "turn", "sample", "raw_text", "thoughts", "text"),
    *("finish_reason", "trimmed", "num_words"),
]
# Replies as they came are most of a judgements table and never shown.
JUDGED = ["judge", "prompt_id", "turn", "sample", "aspect"]
SAID = ["status", "score", "distribution", "reason"]
Answer = tuple[str, int, int]
"""Prompt id, turn and sample."""


def definitions(judged: Sequence[AspectCard]) -> dict[str, Metric]:
    """Metrics of an experiment: what its judges rate, in order of display, then `METRICS`.

    No two have one label.
    """
    several = len({card.judge for card in judged}) > 1
    names = [f"{card.label} · {card.judge}" if several else card.label for card in judged]
    taken = Counter([*names, *(metric.label for metric in METRICS.values())])
    rated = {
        card.metric: Metric(
            f"{name} · {card.rubric}" if taken[name] > 1 else name,
            card.unit,
            card.better,
            f"{card.description} Rated by {card.model}, rubric {card.rubric}",
        )
        for name, card in zip(names, judged, strict=True)
    }
    return {**rated, **METRICS}


@dataclass(frozen=True)
class ReadAspect:
    """One aspect that one judge rates: what the page shows of its card, and why it is doubted.

    Attributes:
        metric: `<judge>:<aspect>`.
        model: who judges.
        own_arms: arms whose model is the judge's own.
        min_coverage: share of answers that must be scored for a mean to be shown.
        doubt: why its scores are greyed: what it failed, or that it was not tested; else empty.
    """

    metric: str
    judge: str
    aspect: str
    label: str
    category: str | None
    model: str
    own_arms: tuple[str, ...]
    min_coverage: float
    doubt: str


def read_aspects(judged: Iterable[AspectCard], qualification: Path | None) -> dict[str, ReadAspect]:
    """Metric → aspect, in order of display; no table means that no judge was tested.

    Raises:
        AlignlabError: the table is missing or damaged.
    """
    rows = list(tables.rows("qualification", qualification)) if qualification else []
    return {card.metric: _aspect(card, rows) for card in judged}


def doubt(rows: Sequence[Row], judge: str, aspect: str) -> str:
    """Why a judge is not qualified for an aspect; empty if it is."""
    qualified, reason = status(rows, judge, aspect)
    return "" if qualified else reason


def _aspect(card: AspectCard, rows: Sequence[Row]) -> ReadAspect:
    return ReadAspect(
        metric=card.metric,
        judge=card.judge,
        aspect=card.aspect,
        label=card.label,
        category=card.category,
        model=card.model,
        own_arms=card.judged_self,
        min_coverage=card.min_coverage,
        doubt=doubt(rows, card.judge, card.aspect),
    )


def doubts(aspects: Iterable[ReadAspect], labels: Mapping[str, str]) -> dict[str, list[str]]:
    """Reason → labels of the metrics that it greys, in order of display."""
    found: dict[str, list[str]] = {}
    for aspect in aspects:
        if aspect.doubt:
            found.setdefault(aspect.doubt, []).append(labels[aspect.metric])
    return found


class ReportSpec(Spec):
    """What a report shows.

    Attributes:
        experiment: its name.
        title: heading.
        arms: in order of display.
        baseline: the arm that the others are compared with.
        pairs: whose token shift is measured.
        scenarios: in order of display.
        studies: of discrimination against generation.
        trainsets: what models are tuned on.
        tuned: models that are tuned.
        judged: every aspect that a judge rates, in order of display.
        judges: by name, those that only compare among them.
        page: digests of the page's own HTML, CSS and JavaScript.
        contrasts: whether differences were named before the run.
    """

    experiment: str
    title: str
    arms: tuple[ArmCard, ...]
    baseline: str
    pairs: tuple[PairCard, ...]
    scenarios: tuple[ScenarioConfig, ...]
    studies: tuple[StudyCard, ...]
    trainsets: tuple[str, ...]
    tuned: tuple[TunedCard, ...]
    judged: tuple[AspectCard, ...]
    judges: dict[str, JudgeCard]
    page: tuple[str, ...]
    contrasts: bool = False


class ReportJob(Job):
    """What `build_report` is given; tables that lie beside another are found from it.

    Attributes:
        tables: name → table of statistics, of those that the experiment has.
        responses: arm → responses table.
        metrics: arm → metrics table.
        judgements: arm → its judgements tables.
        adapters: name of a tuned model → its folder.
        prompts: prompts tables, in order of display.
        shift_page: folder of the token-shift page, if there is one.
        output: folder of the page, in the experiment's own.
    """

    spec: ReportSpec
    tables: dict[str, Path]
    responses: dict[str, Path]
    metrics: dict[str, Path]
    judgements: dict[str, tuple[Path, ...]]
    adapters: dict[str, Path]
    prompts: tuple[Path, ...]
    shift_page: Path | None = None

    @property
    def page(self) -> Path:
        """The page."""
        return self.output / "index.html"

    @property
    def figures(self) -> Path:
        """Folder of its figures."""
        return self.output.parent / "figures" / "arms"

    @property
    def manifest(self) -> Path:
        """What was made, from what and where."""
        return self.output.parent / "manifest.json"

    @property
    def statistics(self) -> Path:
        """Table of that name."""
        return self.tables["statistics"]

    @property
    def comparisons(self) -> Path:
        """Table of that name; rows without the baseline are left out."""
        return self.statistics.with_name("comparisons.parquet")

    @property
    def breakdown(self) -> Path:
        """Table of that name."""
        return self.statistics.with_name("breakdown.parquet")

    @property
    def scenarios(self) -> Path | None:
        """Table of that name, if there are any."""
        return self.statistics.with_name("scenarios.parquet") if self.spec.scenarios else None

    @property
    def contrasts(self) -> Path | None:
        """Table of that name, if there are any."""
        return self.statistics.with_name("contrasts.parquet") if self.spec.contrasts else None

    @property
    def discrimination(self) -> Path | None:
        """Table of that name, if there are studies."""
        return self.tables.get("discrimination")

    @property
    def trainsets(self) -> Path | None:
        """Table of that name, if there are any."""
        return self.tables.get("trainsets")

    @property
    def qualification(self) -> Path | None:
        """Table of that name, if there are judges."""
        return self.tables.get("qualification")

    @property
    def winrates(self) -> Path | None:
        """Table of that name, if there are judges."""
        return self.qualification.with_name("winrates.parquet") if self.qualification else None

    @property
    def shares(self) -> Path | None:
        """The token-shift page's figure of shares, if there is one."""
        folder = self.output.parent / "figures" / "shift"
        return folder / "shift_shares.svg" if self.shift_page else None


@dataclass(frozen=True)
class ReadResults:
    """Everything the page shows. Rows are those of `alignlab.core.tables`, with null for NaN.

    Attributes:
        arms: in order of display.
        baseline: name of the arm that the others are compared with.
        about: name → definition of every metric: what judges rate, then `METRICS`.
        aspects: name → aspect of every metric that a judge rates.
        metrics: names of the metrics that have a value or were asked of a judge, in that order.
        prompts: rows of the prompts tables, in order.
        estimates: (dataset, category) → arm → metric → row of `statistics`.
        differences: (dataset, category) → arm → metric → row of `comparisons`: arm − baseline.
        answers: arm → prompt id → rows of `responses`, by turn and sample.
        measured: arm → (prompt id, turn) → metric → value.
        judgements: arm → answer → metric → what the judge said.
    """

    arms: tuple[ArmCard, ...]
    baseline: str
    about: dict[str, Metric]
    aspects: dict[str, ReadAspect]
    metrics: list[str]
    prompts: list[Row]
    estimates: dict[tuple[str, str], Grid]
    differences: dict[tuple[str, str], Grid]
    answers: dict[str, dict[str, list[Row]]]
    measured: dict[str, dict[tuple[str, int], dict[str, float | None]]]
    judgements: dict[str, dict[Answer, dict[str, Row]]]

    @property
    def names(self) -> list[str]:
        """Names of the arms, in order of display."""
        return [arm.name for arm in self.arms]

    @property
    def others(self) -> list[str]:
        """Names of the arms that are compared with the baseline."""
        return [name for name in self.names if name != self.baseline]

    @property
    def main(self) -> list[str]:
        """What judges rate and those of `MAIN`, where there is a value."""
        return main(self.metrics, self.aspects)

    def doubt(self, metric: str) -> str:
        """Why the judge of a metric is not qualified; empty if it is, or there is none."""
        return self.aspects[metric].doubt if metric in self.aspects else ""

    def role(self, arm: str) -> str:
        """`base` or `aligned`."""
        return next(card.role for card in self.arms if card.name == arm)

    def kinds(self, dataset: str) -> set[str]:
        """Categories of the prompts of a dataset, or of `all`."""
        return {row["category"] for row in self.prompts if dataset in ("all", row["dataset"])}

    def rows(self, arm: str) -> list[Row]:
        """Every answer of an arm."""
        return [row for rows in self.answers[arm].values() for row in rows]


def read(job: ReportJob) -> ReadResults:
    """Read the tables that several parts of the page show.

    Raises:
        AlignlabError: a table is missing or damaged.
    """
    spec = job.spec
    about, aspects = definitions(spec.judged), read_aspects(spec.judged, job.qualification)
    estimates = read_estimates(job.statistics)
    return ReadResults(
        arms=spec.arms,
        baseline=spec.baseline,
        about=about,
        aspects=aspects,
        metrics=present(estimates["all", "all"], about, aspects),
        prompts=[row for path in job.prompts for row in tables.rows("prompts", path)],
        estimates=estimates,
        differences=read_differences(job.comparisons, spec.baseline),
        answers={arm: _read_answers(path) for arm, path in job.responses.items()},
        measured={arm: _read_measured(path) for arm, path in job.metrics.items()},
        judgements={arm: read_judgements(paths) for arm, paths in job.judgements.items()},
    )


def read_estimates(path: Path) -> dict[tuple[str, str], Grid]:
    """Rows of `statistics` by (dataset, category), arm and metric."""
    grids: dict[tuple[str, str], Grid] = defaultdict(lambda: defaultdict(dict))
    for row in tables.rows("statistics", path):
        grids[row["dataset"], row["category"]][row["arm"]][row["metric"]] = finite(row)
    return grids


def read_differences(path: Path, baseline: str) -> dict[tuple[str, str], Grid]:
    """Rows of `comparisons` with the baseline, by (dataset, category), arm and metric."""
    grids: dict[tuple[str, str], Grid] = defaultdict(lambda: defaultdict(dict))
    for row in tables.rows("comparisons", path):
        if row["arm_b"] == baseline:
            grids[row["dataset"], row["category"]][row["arm_a"]][row["metric"]] = finite(row)
    return grids


def finite(row: Row) -> Row:
    """NaN and infinities become null: JSON has neither, and neither can be drawn."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }


def present(
    overall: Grid, about: Mapping[str, Metric], aspects: Mapping[str, ReadAspect]
) -> list[str]:
    """Metrics with a value over all prompts; a judge's also where it could score nothing.

    Raises:
        AlignlabError: a row's metric is not in `about`.
    """
    rows = [(metric, row) for cells in overall.values() for metric, row in cells.items()]
    found = {metric for metric, row in rows if row["n"] or metric in aspects}
    if unknown := sorted(found - about.keys()):
        raise AlignlabError(f"statistics: metric {unknown[0]!r} is not one of {', '.join(about)}")
    return [metric for metric in about if metric in found]


def main(metrics: Iterable[str], aspects: Mapping[str, ReadAspect]) -> list[str]:
    """What judges rate, then those of `MAIN`, as far as they are in `metrics`."""
    known = list(metrics)
    return [name for name in (*aspects, *MAIN) if name in known]


def _read_answers(path: Path) -> dict[str, list[Row]]:
    # Token ids are most of the file and never shown, so they are not read.
    columns = tables.opened("responses", path).read(columns=SHOWN)
    answers: dict[str, list[Row]] = defaultdict(list)
    for row in columns.sort_by([("turn", "ascending"), ("sample", "ascending")]).to_pylist():
        answers[row["prompt_id"]].append(row)
    return answers


def _read_measured(path: Path) -> dict[tuple[str, int], dict[str, float | None]]:
    measured: dict[tuple[str, int], dict[str, float | None]] = defaultdict(dict)
    for row in map(finite, tables.rows("metrics", path)):
        measured[row["prompt_id"], row["turn"]][row["metric"]] = row["value"]
    return measured


def read_judgements(paths: Iterable[Path]) -> dict[Answer, dict[str, Row]]:
    """One arm's judgements: answer → metric → `status`, `score`, `distribution` and `reason`.

    Raises:
        AlignlabError: a table is missing or damaged.
    """
    found: dict[Answer, dict[str, Row]] = defaultdict(dict)
    for path in paths:
        for row in tables.opened("judgements", path).read(columns=JUDGED + SAID).to_pylist():
            metric = f"{row['judge']}:{row['aspect']}"
            answer = row["prompt_id"], row["turn"], row["sample"]
            found[answer][metric] = {key: row[key] for key in SAID}
    return found
