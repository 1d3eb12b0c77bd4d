"""In-context alignment: a system text and K examples that never change (URIAL §3), or vanilla ICL.

snakemake --cores 2 --until generate_responses      # each log opens with the arm's first prompt
"""

from __future__ import annotations

from typing import Any

from alignlab.prompting.frame import FENCED, FRAMES, FramePrompter


def prompter(method: dict[str, Any]) -> FramePrompter:
    """From a resolved method: `style` and `prefix` (URIAL's files), or `system` and `examples`."""
    guidance = method.get("guidance")
    if "prefix" in method:
        return FramePrompter(FRAMES[method["style"]], method["prefix"], guidance)
    system = f"# Instruction\n\n{method['system']}\n" if "system" in method else ""
    blocks = "".join(FENCED.block(e["query"], e["answer"]) for e in method["examples"])
    return FramePrompter(FENCED, (system + blocks).removeprefix("\n"), guidance)
