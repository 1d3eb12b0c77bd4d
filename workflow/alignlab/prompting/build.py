"""From a resolved method to its prompter: the one place that knows which module renders what.

snakemake --cores 2 --until generate_responses      # each log opens with the arm's first prompt
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignlab.prompting.config import METHODS
from alignlab.prompting.encode import Prompter
from alignlab.prompting.hindsight import HindsightPrompter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def build_prompter(
    method: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase | None, embedder: Path | None
) -> Prompter:
    """The prompter of a method that `prompt_files.resolved_method` has resolved.

    Method `chat` alone needs a tokenizer, and retrieval alone an embedder.
    Modules are imported by name so that a change in one method's code leaves the digests of arms
    with other methods alone.
    """
    module = import_module(METHODS[method["kind"]].unit.module)
    needs = {"chat": (tokenizer,), "retrieval": (embedder,)}.get(method["kind"], ())
    prompter: Prompter = module.prompter(method, *needs)
    markers = method.get("hindsight")
    return HindsightPrompter(prompter, markers["good"], markers["bad"]) if markers else prompter
