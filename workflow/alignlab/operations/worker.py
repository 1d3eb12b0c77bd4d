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
from alignlab.operations.job import job, optional


def run(order: dict[str, Any]) -> None:
    """Answer one part of an arm's prompts; keys are those of `generate`, paths as text."""
    generate(
        order["spec"],
        [Path(path) for path in order["prompts"]],
        optional(order["model"]),
        optional(order["adapter"]),
        optional(order["embedder"]),
        Path(order["output"]),
        part=Part(*order["part"]),
        aside=Path(order["aside"]),
        batch_size=order["batch_size"],
    )


if __name__ == "__main__":
    received = json.load(sys.stdin)
    with job(SimpleNamespace(**received["job"]), timed=True):
        run(received)
