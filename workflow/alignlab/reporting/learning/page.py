"""The page's part on Learning from Mistakes: scenarios, the study, training sets, training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from alignlab.core import tables
from alignlab.reporting import page
from alignlab.reporting.arms import boards, measures
from alignlab.reporting.arms import figures as drawing
from alignlab.reporting.arms.measures import Comparison, read_scenarios
from alignlab.reporting.board import Board, Panels, RowHead
from alignlab.reporting.cards import TunedCard
from alignlab.reporting.inputs import ReadResults, ReportJob, finite
from alignlab.reporting.learning import studies

if TYPE_CHECKING:
    from markupsafe import Markup

MEASURED = ("accuracy", "margin", "reward", "kl")
OUTCOMES = {"wins": "#009e73", "ties": "#bbbbbb", "losses": "#e69f00"}
OUTCOME_LABEL = {
    "wins": "only the analysis is right",
    "ties": "both right, or both wrong",
    "losses": "only the other side is right",
}


@dataclass(frozen=True)
class ShownScenario:
    """A scenario with everything drawn; `said` is (heading, sentences) a measure."""

    title: str
    panels: Panels
    said: list[tuple[str, list[str]]]
    figure: Markup


@dataclass(frozen=True)
class ShownStudy:
    """A study with its sentences and its figure."""

    name: str
    arm: str
    board: Board
    said: list[str]
    figure: Markup


@dataclass(frozen=True)
class Training:
    """How a model's tuning went: losses in nats, null where no step has one."""

    name: str
    base: str
    trainset: str
    trainer: str
    steps: int
    first: float | None
    last: float | None
    others: dict[str, float]
    """Last value of what else the trainer measures, such as `reward`."""
    seconds: float


@dataclass(frozen=True)
class Learning:
    """Everything the page's sections on learning show; each may be empty."""

    scenarios: list[ShownScenario]
    studies: list[ShownStudy]
    trainsets: dict[str, dict[str, tables.Row]]
    """Name → kind → row of the table `trainsets`."""
    training: list[Training]


def read(job: ReportJob, results: ReadResults, heads: Mapping[str, RowHead]) -> Learning:
    """Read the tables that there are, and draw their figures.

    Args:
        job: says which tables, and where figures go.
        results: what `inputs.read` gives of it.
        heads: arm → its row's heading.

    Raises:
        AlignlabError: a table is missing or damaged.
    """
    asked = job.scenarios
    made = read_scenarios(asked, results.about, results.aspects) if asked else []
    studied = studies.read(job.discrimination) if job.discrimination else []
    drawn = drawing.save(_figures(made, studied), job.figures)
    inlined = {name: page.inline(path, name) for name, path in drawn.items()}
    titles = {scenario.name: scenario.title for scenario in job.spec.scenarios}
    return Learning(
        scenarios=[
            ShownScenario(
                title=titles[each.name],
                panels=boards.panels(f"scenario-{each.name}", each, heads),
                said=[(m.label, measures.sentences(m)) for m in each.measures],
                figure=inlined[f"scenario-{each.name}"],
            )
            for each in made
        ],
        studies=[
            ShownStudy(
                s.name, s.arm, studies.board(s), studies.reading(s), inlined[f"study-{s.name}"]
            )
            for s in studied
        ],
        trainsets=_trainsets(job.trainsets) if job.trainsets else {},
        training=[_training(card, job.adapters[card.name]) for card in job.spec.tuned],
    )


def _figures(
    scenarios: Sequence[Comparison], studied: Sequence[studies.Study]
) -> Iterator[tuple[str, Figure]]:
    for scenario in scenarios:
        yield f"scenario-{scenario.name}", drawing.scenario_forest(scenario)
    for study in studied:
        yield f"study-{study.name}", outcomes(study)


def outcomes(study: studies.Study) -> Figure:
    """Shares of prompts that an analysis wins, ties and loses, as in the paper's Figure 2."""
    names = [
        f"{row['analysis']} against {studies.named(row)}, {row['slice']}" for row in study.rows
    ]
    figure = Figure(figsize=(drawing.WIDTH, drawing.ROW * len(names) + 0.8))
    axes = figure.subplots()
    drawing.bare(axes, names)
    counts = [Counter({kind: row[kind] for kind in OUTCOMES}) for row in study.rows]
    drawing.draw_shares(axes, counts, OUTCOMES, OUTCOME_LABEL)
    return figure


def _trainsets(path: Path) -> dict[str, dict[str, tables.Row]]:
    found: dict[str, dict[str, tables.Row]] = {}
    for row in tables.rows("trainsets", path):
        found.setdefault(row["trainset"], {})[row["kind"]] = row
    return found


def _training(card: TunedCard, adapter: Path) -> Training:
    rows = [finite(row) for row in tables.rows("training", adapter / "training.parquet")]

    def known(column: str) -> list[float]:
        return [row[column] for row in rows if row[column] is not None]

    losses = known("loss")
    return Training(
        **card.model_dump(),
        steps=len(rows),
        first=losses[0] if losses else None,
        last=losses[-1] if losses else None,
        others={name: known(name)[-1] for name in MEASURED if known(name)},
        seconds=max(known("seconds"), default=0.0),
    )
