"""Where an experiment's numbers come from: artefacts, versions, commit, hardware, time per rule."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from tokenizers import Tokenizer

from alignlab.answering.engine_statistics import engine_row
from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.endpoints.respondent import Wording
from alignlab.engines.base import Question
from alignlab.engines.config import DecodingConfig
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.experiment.results import Results
from alignlab.operations import store_locks
from alignlab.operations.throughput import processor
from alignlab.planning.artefact import RESULTS, Artefact
from alignlab.reporting.inputs import ReportJob


class ManifestJob(ReportJob):
    """What `write_manifest` is given: that of the report, which shows it.

    Attributes:
        experiment: name or path; it is planned again, since the plan is what is written down.
    """

    experiment: str


def write_manifest(job: ManifestJob) -> None:
    """Write `manifest.json`: everything a reader needs to trust, or redo, the numbers.

    Raises:
        AlignlabError: the experiment was edited while the run was on its way.
    """
    plan = Plan(load_experiment(job.experiment))
    if Results(plan).report.digest != job.spec.digest:
        raise AlignlabError(f"{job.experiment}: changed since the run began; start it again")
    manifest = {
        **job.spec.signed,
        "artefacts": [_described(artefact) for artefact in plan],
        "engine_checks": [engine_row(a.path) for a in plan if a.stage == "engine_checks"],
        "plain": run_plainly(plan),
        "first_prompts": first_prompts(plan),
        "versions": tables.versions(),
        "commit": _commit(),
        "hardware": _hardware(),
        "timings": _timings({artefact.key for artefact in plan}),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with tables.replacing(job.manifest) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    store_locks.finished(plan)


def run_plainly(plan: Plan) -> dict[str, str]:
    """Models, and arms of others, that plain transformers ran row by row → why."""
    found = {a.name: _plain(a.path) for a in plan if a.stage == "models"}
    for arm in plan.experiment.arms:
        reason = tables.plain_of(plan.responses[arm.name].path)
        if reason not in found.values():  # which the engine found when it had loaded the weights
            found[f"{arm.name} ({arm.model})"] = reason
    return {name: reason for name, reason in found.items() if reason}


def _plain(model: Path) -> str:
    """What was noted when a model was fetched."""
    note = json.loads((model / "alignlab.json").read_text(encoding="utf-8"))
    return note.get("engine", {}).get("reason", "")


def first_prompts(plan: Plan) -> dict[str, str]:
    """The first prompt of every generated arm, decoded from the ids the model was given.

    An endpoint gives no ids: for an arm of one, what it was sent is written again.
    """
    names = {arm.model for arm in plan.experiment.arms if not plan.used(arm.model).endpoint}
    tokenizers = {
        name: Tokenizer.from_file(str(plan.tokenizer_of(name) / "tokenizer.json")) for name in names
    }
    found = {}
    for arm in plan.experiment.arms:
        artefact = plan.responses[arm.name]
        if arm.model not in tokenizers:
            found[arm.name] = _first_sent(artefact)
            continue
        row = next(tables.rows("responses", artefact.path, batch_size=1))
        ids = row["prompt_ids"]
        found[arm.name] = tokenizers[arm.model].decode(ids, skip_special_tokens=False)
    return found


def _first_sent(responses: Artefact) -> str:
    """The first prompt of an arm whose model is behind an endpoint, as it was sent."""
    prompts, embedders = responses.parent("prompts"), responses.parent("embedder")
    row = next(tables.rows("prompts", prompts[0].path, batch_size=1))
    spec, embedder = responses.slice, embedders[0].path if embedders else None
    decoding = DecodingConfig.model_validate(spec["decoding"])
    wording = Wording(spec["method"], decoding, spec["engine"]["form"], embedder)
    return wording.shown(Question(row["turns"][:1], (), 0, None))


def _described(artefact: Artefact) -> dict[str, Any]:
    made_with = tables.versions_of(artefact.path) if artefact.kind.table else {}
    return {
        "stage": artefact.stage,
        "name": artefact.name,
        "digest": artefact.digest,
        "path": str(artefact.path),
        "spec": artefact.spec,
        "versions": made_with,
    }


def _commit() -> str:
    """The commit of the working folder, with a mark if files differ from it."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown (not a git checkout)"


def _hardware() -> dict[str, Any]:
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": _gpu_name(),
    }


def _gpu_name() -> str | None:
    """What the driver says; asking torch would take longer than everything else here."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None


def _timings(keys: set[str]) -> list[dict[str, Any]]:
    """What Snakemake measured for each job behind these artefacts, wherever it ran."""
    found = []
    for path in sorted((RESULTS / "benchmarks").glob("*/*.tsv")):
        if not any(path.stem == key or path.stem.startswith(f"{key}.") for key in keys):
            continue
        with path.open(encoding="utf-8") as file:
            row = next(csv.DictReader(file, delimiter="\t"))
        rss = row["max_rss"]
        found.append(
            {
                "rule": path.parent.name,
                "name": path.stem,
                "seconds": float(row["s"]),
                "max_rss_mb": float(rss) if rss not in ("-", "NA") else None,
            }
        )
    return found
