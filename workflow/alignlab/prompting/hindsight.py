"""Chain of Hindsight at inference: the answer is conditioned on the good marker (2302.02676 §3).

pytest tests/prompting/test_hindsight.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from alignlab.prompting.encode import Prompter
from alignlab.prompting.stopping import Stopping


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
