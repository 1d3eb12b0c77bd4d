"""What is published of an experiment: its tables, its figures and the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alignlab.planning.artefact import Artefact, Stage
from alignlab.tracking.config import WandbConfig

# What it says of artefacts is in the specs.
CHANGES_NO_VALUE = True


def publication(
    report: Artefact,
    tables: Sequence[str],
    figures: Sequence[str],
    settings: WandbConfig,
    home: Path,
) -> Artefact:
    """What was published where: one run per state of an experiment.

    Args:
        report: of the experiment; its digest becomes the run's id.
        tables: names of those that are published.
        figures: names of their folders.
        settings: where they are published.
        home: the experiment's folder.
    """
    spec = {"experiment": report.name, "tables": list(tables), "figures": list(figures)}
    place = settings.model_dump()
    return Artefact(PUBLICATION, report.name, spec, {"report": report}, place, home=home)


PUBLICATION = Stage(name="wandb", table=None, units=())
