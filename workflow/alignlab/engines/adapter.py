"""A loaded model with a LoRA adapter merged into its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file

from alignlab.core.errors import AlignlabError


def adapted(model: Any, folder: Path) -> Any:
    """The model with the adapter of `folder` merged in; safetensors are all that is read.

    Raises:
        AlignlabError: the folder holds no whole adapter, or one of another model.
    """
    try:
        config = LoraConfig.from_pretrained(folder, local_files_only=True)
        # PEFT would take the name for a path, and warn that the model comes from another.
        base, config.base_model_name_or_path = config.base_model_name_or_path, None
        weights = load_file(folder / "adapter_model.safetensors")
        tuned = get_peft_model(model, config)
    except (OSError, ValueError, SafetensorError) as error:
        raise AlignlabError(f"{folder}: the adapter cannot be loaded: {error}") from error
    expected = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    if wrong := _shapes(weights).items() ^ _shapes(expected).items():
        raise AlignlabError(
            f"{folder}: the adapter of {base} does not fit this model: {min(wrong)[0]} differs"
        )
    set_peft_model_state_dict(tuned, weights)
    return tuned.merge_and_unload()


def _shapes(weights: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}
