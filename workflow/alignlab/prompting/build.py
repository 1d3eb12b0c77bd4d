"""From a resolved method to its prompter: the one place that knows which module renders what.

snakemake --cores 2 --until generate_responses      # each log opens with the arm's first prompt
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignlab.experiment.methods import unit_of
from alignlab.experiment.units import UNITS
from alignlab.prompting.encode import Prompter
from alignlab.prompting.hindsight import HindsightPrompter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def build_prompter(
    method: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase | None, embedder: Path | None
) -> Prompter:
    """The prompter of a resolved method (`alignlab.experiment.specs` resolves texts).

    Method `chat` alone needs a tokenizer, and retrieval alone an embedder.
    Modules are imported by name so that a change in one method's code leaves arms with other
    methods alone.
    """
    module = import_module(UNITS[unit_of(method["kind"])])
    needs = {"chat": (tokenizer,), "retrieval": (embedder,)}.get(method["kind"], ())
    prompter: Prompter = module.prompter(method, *needs)
    markers = method.get("hindsight")
    return HindsightPrompter(prompter, markers["good"], markers["bad"]) if markers else prompter
