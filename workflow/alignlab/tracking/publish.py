"""Publish an experiment's finished tables, figures and report to Weights & Biases.

    snakemake --cores 1 --until publish_wandb
    wandb sync results/<experiment>/wandb/offline-run-*      # later, where there is a network

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


def publish(
    digest: str,
    settings: dict[str, Any],
    *,
    manifest: Path,
    tables: list[Path],
    figures: list[Path],
    report: Path,
    receipt: Path,
) -> None:
    """Log one experiment and write down what was published.

    Args:
        digest: the report's digest, which becomes the run's id.
        settings: mode (`offline`, `online`, `disabled`), project, entity.
        manifest: what the experiment is; becomes the run's config.
        tables: statistics of arms and pairs, logged as tables and kept as an artifact.
        figures: folders of SVG files.
        report: the HTML report.
        receipt: JSON to write: run id, mode, folder or address, artifact name.

    Raises:
        AlignlabError: `online` without WANDB_API_KEY.
    """
    facts = json.loads(manifest.read_text(encoding="utf-8"))
    written = {"mode": settings["mode"], "digest": digest}
    if settings["mode"] != "disabled":
        written |= _log(digest, settings, facts, tables, figures, report, receipt.parent)
    with replacing(receipt) as temporary:
        temporary.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def _log(
    digest: str,
    settings: dict[str, Any],
    facts: dict[str, Any],
    tables: list[Path],
    figures: list[Path],
    report: Path,
    folder: Path,
) -> dict[str, Any]:
    if settings["mode"] == "online" and not os.environ.get("WANDB_API_KEY"):
        raise AlignlabError("wandb.mode is online: set WANDB_API_KEY, or choose offline")
    # W&B stages artifacts in the home folder by default, where cluster quotas are small.
    os.environ["WANDB_DATA_DIR"] = str((folder / "wandb").resolve())
    run = wandb.init(
        id=digest,
        resume="allow",
        name=f"{facts['experiment']}-{digest}",
        group=facts["experiment"],
        job_type="report",
        config={"experiment": facts["experiment"], "arms": facts["arms"]},
        dir=str(folder),
        settings=wandb.Settings(console="off", x_disable_stats=True, silent=True),
        **settings,
    )
    with run:
        for path in tables:
            frame = pd.read_parquet(path)
            run.log({path.stem: wandb.Table(dataframe=frame)}, commit=False)
            run.summary.update(_means(frame) if path.stem == "statistics" else {})
        run.log({"report": wandb.Html(report, inject=False)})
        artifact = wandb.Artifact(f"{facts['experiment']}-tables", type="results")
        drawn = [path for folder in figures for path in sorted(folder.glob("*.svg"))]
        for path in [*tables, *drawn]:
            artifact.add_file(str(path), policy="immutable")
        run.log_artifact(artifact, aliases=[digest])
        place = run.url or os.path.relpath(Path(run.dir).parent)
    return {"run": digest, "group": facts["experiment"], "place": place, "artifact": artifact.name}


def _means(statistics: pd.DataFrame) -> dict[str, float]:
    """Headline numbers of the run: the mean of every metric over all prompts, by arm."""
    whole = statistics[(statistics.dataset == "all") & (statistics.category == "all")]
    return {f"{row.arm}/{row.metric}": row.mean for row in whole.itertuples() if row.n}
