"""Guided generation, the last step of Learning from Mistakes (arXiv 2310.10477, step 4)."""

from __future__ import annotations

from collections.abc import Sequence


def guided(turns: Sequence[str], guidance: str | None) -> list[str]:
    """Put the guidance before every question (LfM step 4: the aligned mode is asked for)."""
    return [f"{guidance}\n\n{turn}" if guidance else turn for turn in turns]
