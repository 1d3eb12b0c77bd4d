"""Publishes an experiment's finished tables, figures and report to Weights & Biases.

Runs are offline by default; `wandb sync results/<experiment>/wandb/offline-run-*` sends them later.
Compute jobs never import wandb. One run per state of an experiment: its id is the report's digest,
so publishing twice resumes the same run instead of adding one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import wandb

from alignlab.core.errors import AlignlabError
from alignlab.core.tables import replacing
from alignlab.metrics.definitions import METRICS
from alignlab.planning.artefact import Job, Spec
from alignlab.tracking.config import WandbConfig


class PublishSpec(Spec):
    """What is published.

    Attributes:
        experiment: its name.
        tables: names of tables, with statistics of arms and pairs.
        figures: names of the figures' folders.
    """

    experiment: str
    tables: tuple[str, ...]
    figures: tuple[str, ...]


class PublishJob(Job):
    """What `publish` is given.

    Attributes:
        place: where it is published.
        report: folder of the report.
        output: the experiment's folder.
    """

    spec: PublishSpec
    place: WandbConfig
    report: Path

    @property
    def run(self) -> str:
        """The run's id: the digest of the report."""
        return str(self.spec.parents["report"])

    @property
    def tables(self) -> list[Path]:
        """What is logged as tables and kept as an artifact."""
        return [self.output / "tables" / f"{name}.parquet" for name in self.spec.tables]

    @property
    def figures(self) -> list[Path]:
        """Every figure, an SVG file."""
        folders = (self.output / "figures" / name for name in self.spec.figures)
        return [path for folder in folders for path in sorted(folder.glob("*.svg"))]


def publish(job: PublishJob) -> None:
    """Log one experiment, and write down in `wandb.json` what was published where.

    The manifest becomes the run's config.

    Raises:
        AlignlabError: `online` without WANDB_API_KEY.
    """
    written = {"mode": job.place.mode, "digest": job.run}
    if job.place.mode != "disabled":
        written |= _log(job)
    with replacing(job.output / "wandb.json") as temporary:
        temporary.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def _log(job: PublishJob) -> dict[str, Any]:
    if job.place.mode == "online" and not os.environ.get("WANDB_API_KEY"):
        raise AlignlabError("wandb.mode is online: set WANDB_API_KEY, or choose offline")
    facts = json.loads((job.output / "manifest.json").read_text(encoding="utf-8"))
    # W&B stages artifacts in the home folder by default, where cluster quotas are small.
    os.environ["WANDB_DATA_DIR"] = str((job.output / "wandb").resolve())
    group = job.spec.experiment
    run = wandb.init(
        id=job.run,
        resume="allow",
        name=f"{group}-{job.run}",
        group=group,
        job_type="report",
        config={"experiment": group, "arms": facts["arms"]},
        dir=str(job.output),
        settings=wandb.Settings(console="off", x_disable_stats=True, silent=True),
        **job.place.model_dump(),
    )
    with run:
        for path in job.tables:
            frame = pd.read_parquet(path)
            run.log({path.stem: wandb.Table(dataframe=frame)}, commit=False)
            run.summary.update(_means(frame) if path.stem == "statistics" else {})
        run.log({"report": wandb.Html(job.report / "index.html", inject=False)})
        artifact = wandb.Artifact(f"{group}-tables", type="results")
        for path in [*job.tables, *job.figures]:
            artifact.add_file(str(path), policy="immutable")
        run.log_artifact(artifact, aliases=[job.run])
        place = run.url or os.path.relpath(Path(run.dir).parent)
    return {"run": job.run, "group": group, "place": place, "artifact": artifact.name}


def _means(statistics: pd.DataFrame) -> dict[str, float]:
    """Headline numbers of the run: the mean of every metric over all prompts, by arm.

    By category too, `urial/refusal/safety`, where a metric means another thing in each.
    """
    whole = statistics[statistics.dataset == "all"]
    of_kinds = [name for name, metric in METRICS.items() if metric.by_category]
    split = whole[(whole.category != "all") & whole.metric.isin(of_kinds)]
    pooled = whole[(whole.category == "all") & ~whole.metric.isin(split.metric)]
    found = {f"{row.arm}/{row.metric}": row.mean for row in pooled.itertuples() if row.n}
    by_kind = {f"{r.arm}/{r.metric}/{r.category}": r.mean for r in split.itertuples() if r.n}
    return found | by_kind
