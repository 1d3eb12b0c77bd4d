"""One job of `generate_responses` in an interpreter of its own: what it is given comes as JSON.

    snakemake --cores 2 --until generate_responses

An engine with an environment of its own is another Python; this module is what that one runs.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

from alignlab.answering.generate import GenerateJob, generate
from alignlab.answering.stages import RESPONSES
from alignlab.operations.job import job

if __name__ == "__main__":
    with job(SimpleNamespace(**json.load(sys.stdin)), GenerateJob, timed=RESPONSES) as given:
        generate(given)
