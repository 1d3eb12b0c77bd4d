"""Where an answer ends: at the closing fence on its own line, or at a stop string.

    pytest tests/prompting/test_stopping.py     # what is cut, and what survives

URIAL's own runner strips every fence from an answer, which destroys code; here a fence with a
language opens a code block inside the answer, and so does a bare one after a line that ends in a
colon, if anything follows it; a bare fence closes the block that is open, or else the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FENCE_LINE = re.compile(r"(?m)^[ \t]*(`{3,})([^`\n]*)(\n|\Z)")


@dataclass(frozen=True)
class Stopping:
    """Stop strings at the start of a line, and whether the prompt opened a fence to be closed."""

    strings: tuple[str, ...] = ()
    fenced: bool = False

    def cut(self, raw: str, complete: bool = True) -> tuple[str, str]:
        """Cut an answer where it ends.

        Args:
            raw: generated text.
            complete: no more text follows; otherwise a fence at the very end may still become
                "```python" and is not yet taken as closing.

        Returns:
            The answer, stripped, and why it was cut: `fence`, `stop_string` or "" if it was not.
        """
        at = self._stop_string(raw)
        answer = raw if at < 0 else raw[:at]
        fence = _closing_fence(answer, complete or at >= 0) if self.fenced else -1
        if fence >= 0:
            return answer[:fence].strip(), "fence"
        return answer.strip(), "" if at < 0 else "stop_string"

    def may_end(self, tail: str) -> bool:
        """Cheap test on the last few tokens' text: is a full `cut` worth the time?"""
        return (self.fenced and "```" in tail) or any(stop in tail for stop in self.strings)

    def _stop_string(self, raw: str) -> int:
        """Offset of the first line that begins with a stop string, or -1."""
        starts = [0 if raw.startswith(stop) else raw.find(f"\n{stop}") for stop in self.strings]
        return min((start for start in starts if start >= 0), default=-1)


def _closing_fence(raw: str, complete: bool) -> int:
    """Offset of the fence line that closes the answer, or -1."""
    opened: re.Match[str] | None = None
    for fence in FENCE_LINE.finditer(raw):
        ends_text = not fence[3]
        if ends_text and not complete:
            return -1
        if opened:
            opened = fence if fence[2].strip() else None
        elif fence[2].strip() or raw[: fence.start()].rstrip().endswith(":"):
            opened = fence
        else:
            return fence.start()
    # A bare fence with nothing after it was no code block: "The answer is:" and then the end.
    if complete and opened and not opened[2].strip() and not raw[opened.end() :].strip():
        return opened.start()
    return -1
