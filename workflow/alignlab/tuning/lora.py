"""The base model that is tuned, the low-rank update it gets, and the adapter on disk.

    snakemake --cores 2 --until tune_model

LoRA (arXiv 2106.09685) through PEFT; weights are read and written as safetensors only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel

from alignlab.core.errors import AlignlabError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def open_base(spec: dict[str, Any], folder: Path, kind: Any, **keys: Any) -> PreTrainedModel:
    """The base model without any adapter.

    Args:
        spec: the adapter's slice.
        folder: of the materialised model.
        kind: one of transformers' `AutoModelFor...` classes.
        keys: more arguments of its `from_pretrained`; they win.

    Raises:
        AlignlabError: the architecture has no such form, or `lora.targets` names no linear layer.
    """
    dtype = getattr(torch, spec["engine"]["dtype"])
    try:
        model = kind.from_pretrained(folder, **{"dtype": dtype, "use_safetensors": True, **keys})
    except ValueError as error:
        raise AlignlabError(f"{spec['name']}: {spec['base']} cannot be tuned: {error}") from error
    _check_targets(spec, model)
    return model


def _check_targets(spec: dict[str, Any], model: Any) -> None:
    """PEFT refuses only targets of which none matches."""
    if (targets := spec["lora"]["targets"]) == "all-linear":
        return
    heads = (getattr(model, "score", None), model.get_output_embeddings())
    layers = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    known = {n.rpartition(".")[2] for n in layers if model.get_submodule(n) not in heads}
    if unknown := sorted(set(targets) - known):
        raise AlignlabError(
            f"{spec['name']}: lora.targets: {spec['base']} has no linear layer "
            f"{', '.join(unknown)}; it has {', '.join(sorted(known))}"
        )


def lora_config(spec: dict[str, Any], task: str) -> LoraConfig:
    """What PEFT adds to a base model for a task of its own list, such as `CAUSAL_LM`."""
    lora = spec["lora"]
    return LoraConfig(
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules=lora["targets"],
        task_type=task,
    )


def save_adapter(tuned: PeftModel, base: str, folder: Path) -> None:
    """Write the adapter; nothing in it says on which machine it was made."""
    config = tuned.peft_config["default"]
    config.base_model_name_or_path = base
    config.target_modules = sorted(config.target_modules)  # a set, whose order changes by process
    tuned.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()
    # safetensors writes 0600, which a shared store cannot use.
    mode = (folder / "adapter_config.json").stat().st_mode
    (folder / "adapter_model.safetensors").chmod(mode)
