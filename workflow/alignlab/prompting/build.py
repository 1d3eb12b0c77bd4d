"""From a resolved method to its prompter: the one place that knows which module renders what.

Any method may be asked for the good answer of a pair: Chain of Hindsight (2302.02676 §3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignlab.prompting.config import METHODS
from alignlab.prompting.encode import Prompter, Stopping

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class HindsightPrompter:
    """Another method's prompts with the good marker after them.

    A model that was tuned on pairs goes on to the bad answer, so its marker ends the good one.
    """

    inner: Prompter
    good: str
    bad: str

    @property
    def stopping(self) -> Stopping:
        """Where an answer ends."""
        stopping = self.inner.stopping
        return replace(stopping, strings=(*stopping.strings, self.bad))

    @property
    def templated(self) -> bool:
        """As the other method says."""
        return self.inner.templated

    def render(self, turns: Sequence[str], answers: Sequence[str]) -> str:
        """The other method's prompt, and the marker; the space after it is the model's."""
        return self.inner.render(turns, answers) + self.good


def build_prompter(
    method: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase | None, embedder: Path | None
) -> Prompter:
    """The prompter of a resolved method (`MethodConfig.resolved`).

    Modules are imported by name so that a change in one module leaves the digests of arms with
    methods of other modules alone.
    """
    config, loaded = METHODS[method["kind"]], {"tokenizer": tokenizer, "embedder": embedder}
    module = import_module(config.unit.module)
    prompter: Prompter = module.prompter(method, *(loaded[name] for name in config.needs))
    markers = method.get("hindsight")
    return HindsightPrompter(prompter, markers["good"], markers["bad"]) if markers else prompter
