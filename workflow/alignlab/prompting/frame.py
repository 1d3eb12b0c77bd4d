"""Zero-shot and in-context prompts in the Markdown frames of URIAL, and where an answer ends.

    python -c "from alignlab.prompting.frame import FENCED; print(FENCED.open('Why?'))"

Formats: `fenced` (own-line fences, URIAL's current files), `inline` (the paper's files), `plain`
(`# User:` / `# Assistant:`, no fences). URIAL arXiv 2312.01552 §3 and appendix C.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alignlab.prompting.encode import Stopping, guided


@dataclass(frozen=True)
class Frame:
    """One way of writing a conversation as a document that a base model continues."""

    user: str
    assistant: str
    fence: str
    inline: bool = False

    @property
    def stopping(self) -> Stopping:
        """The answer ends at its closing fence, or where the model invents the next question."""
        return Stopping(strings=(self.user,), fenced=bool(self.fence))

    def open(self, query: str) -> str:
        """A question and the start of its answer; generation continues right after it."""
        if not self.fence:
            query = self._escaped(query)
            return f"\n{self.user}\n\n{query}\n\n\n{self.assistant}\n\n"
        fence = _longer_than_any_in(query, self.fence)
        asked = f"{fence}{query}{fence}\n" if self.inline else f"{fence}\n{query}\n{fence}\n"
        return f"\n{self.user}\n{asked}\n{self.assistant}\n{self.fence}\n"

    def block(self, query: str, answer: str) -> str:
        """A finished question and answer."""
        if not self.fence:
            return f"{self.open(query)}{self._escaped(answer)}\n\n"
        return f"{self.open(query)}{answer}\n{self.fence}\n"

    def conversation(self, prefix: str, turns: Sequence[str], answers: Sequence[str]) -> str:
        """A constant prefix, the finished turns as blocks, and the open last turn (URIAL §4.3)."""
        done = [self.block(q, a) for q, a in zip(turns, answers, strict=False)]
        text = "".join([prefix, *done, self.open(turns[len(answers)])])
        return text if prefix else text.removeprefix("\n")

    def _escaped(self, text: str) -> str:
        """A line that looks like a role header would end the message; escape it as Markdown."""
        roles = "|".join(re.escape(role) for role in (self.user, self.assistant))
        return re.sub(rf"(?m)^(?={roles})", r"\\", text)


FENCED = Frame("# Query:", "# Answer:", "```")
INLINE = Frame("# Query:", "# Answer:", "```", inline=True)
PLAIN = Frame("# User:", "# Assistant:", "")
FRAMES = {"fenced": FENCED, "inline": INLINE, "plain": PLAIN}


def _longer_than_any_in(text: str, fence: str) -> str:
    """A fence that the text cannot close: Markdown's rule, one backtick more than any run in it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=0)
    return fence if longest < len(fence) else "`" * (longest + 1)


@dataclass(frozen=True)
class FramePrompter:
    """Writes conversations in a frame after a constant prefix."""

    frame: Frame
    prefix: str = ""
    guidance: str | None = None
    templated: bool = False

    @property
    def stopping(self) -> Stopping:
        """Where an answer ends."""
        return self.frame.stopping

    def render(self, turns: Sequence[str], answers: Sequence[str]) -> str:
        """The document whose continuation is the answer to `turns[len(answers)]`."""
        return self.frame.conversation(self.prefix, guided(turns, self.guidance), answers)


def prompter(method: dict[str, Any]) -> FramePrompter:
    """From a resolved method: `style` and `prefix` (URIAL's files), or `system` and `examples`.

    Without any it is zero-shot: the frame alone (URIAL §4.1).
    """
    guidance = method.get("guidance")
    if "prefix" in method:
        return FramePrompter(FRAMES[method["style"]], method["prefix"], guidance)
    system = f"# Instruction\n\n{method['system']}\n" if "system" in method else ""
    blocks = "".join(FENCED.block(e["query"], e["answer"]) for e in method.get("examples", ()))
    return FramePrompter(FENCED, (system + blocks).removeprefix("\n"), guidance)
