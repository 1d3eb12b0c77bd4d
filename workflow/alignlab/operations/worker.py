"""One job of `generate_responses`, as a process: what it is to do comes as JSON.

    snakemake --cores 2 --until generate_responses

An engine with an environment of its own is another Python; this module is what that one runs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from alignlab.answering.generate import Part, generate
from alignlab.answering.stages import RESPONSES
from alignlab.operations.job import job, optional
from alignlab.planning.artefact import aside_of


def run(given: dict[str, Any]) -> None:
    """Answer one part of an arm's prompts, as `Artefact.job` describes it."""
    generate(
        {**given["spec"], **given["place"]},
        [Path(path) for path in given["prompts"]],
        optional(given.get("model")),
        optional(given.get("adapter")),
        optional(given.get("embedder")),
        Path(given["output"]),
        part=Part(*given["part"]),
        aside=aside_of(given["key"]),
        batch_size=given["batch_size"],
    )


if __name__ == "__main__":
    received = json.load(sys.stdin)
    with job(SimpleNamespace(**received["job"]), timed=RESPONSES):
        run(received)
