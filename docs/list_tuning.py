"""Writes `docs/tuning.md`: which trainers tune each causal architecture of transformers."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from alignlab.tuning.step import examine

HEAD = """# Tuning

Which trainers tune each architecture of transformers, with the defaults of its config class. A
trainer is listed if one step of it, on padded rows, has the loss and the gradients of plain
transformers and PEFT on each row alone, of an update of `all-linear`; for `rlhf` the policy must
also sample, and the reward model score, as for each row alone. Any other is refused by name: when
the base is fetched, and before the first step. A model of yours is compared by its own config, so
an architecture whose defaults cannot be made small may be tuned, and the reverse. Written by
`python docs/list_tuning.py`.

| architecture | trainers | else |
|---|---|---|
"""


def row(name: str) -> str:
    """The trainers of an architecture, and the first reason that keeps one from it."""
    try:
        reasons = examine(CONFIG_MAPPING[name]())
    except (ValueError, StrictDataclassError) as error:  # no default for some key
        reasons = {"sft": str(error).partition("\n")[0]}
    tuned = [trainer for trainer, reason in reasons.items() if not reason]
    why = next(filter(None, reasons.values()), "").replace("|", "or")
    return f"| {name} | {', '.join(tuned) or 'none'} | {why} |\n"


def names() -> list[str]:
    """Architectures of the list, in order: those that are causal language models."""
    page = Path(__file__).with_name("models.md").read_text(encoding="utf-8")
    known = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    return [n for n in known if f"| {n} | fast" in page or f"| {n} | plain" in page]


if __name__ == "__main__":
    content = HEAD + "".join(map(row, names()))
    Path(__file__).with_name("tuning.md").write_text(content, encoding="utf-8")
