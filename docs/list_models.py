"""Writes `docs/models.md`: how each causal architecture of the installed transformers is run."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from alignlab.engines.equality import examine

# Their parts are too many or too large to be made small within a test.
LARGE = {"blt", "kimi_linear", "longcat_flash", "xlm", "falcon_h1", "bailing_hybrid"}
HEAD = """# Models

How each architecture of transformers is run, with the defaults of its config class: `fast` shares a
prefix and batches, and equals plain transformers; `plain` is transformers' own `generate`, one row
at a time; `refused` is no causal language model, or has no config of its own. Architectures that
could not be made small are `plain` too, and nothing was compared for them. A model of yours is
compared by its own config when it is fetched, and the outcome stands in its `alignlab.json`: its
layers, rope or window may lead to another way than the defaults. Written by
`python docs/list_models.py`.

| architecture | way |
|---|---|
"""


def names() -> list[str]:
    """Architectures of the list, in order."""
    return sorted(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - LARGE)


def way(name: str) -> str:
    """How the defaults of an architecture are run."""
    try:
        config = CONFIG_MAPPING[name]()
    except (ValueError, StrictDataclassError):  # the class demands keys that no default has
        return "refused"
    return examine(config).way


if __name__ == "__main__":
    rows = "".join(f"| {name} | {way(name)} |\n" for name in names())
    Path(__file__).with_name("models.md").write_text(HEAD + rows, encoding="utf-8")
