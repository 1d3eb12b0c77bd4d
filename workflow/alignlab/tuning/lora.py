"""What a low-rank update (LoRA, arXiv 2106.09685) adapts of a model, and what it leaves.

`all-linear` means every linear layer but the head, and every stack of matrices, as routed experts
are kept, which no layer holds. PEFT finds layers by itself; stacks are named to it. In models whose
experts once were layers it takes layers of such names for experts, and leaves shared experts and
dense layers out: these are named to it too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from torch.nn.modules.conv import _ConvNd
from transformers.pytorch_utils import Conv1D

from alignlab.core.errors import AlignlabError
from alignlab.tuning.config import LoraConfig as Update
from alignlab.tuning.examples import AdapterSpec

LINEAR = (torch.nn.Linear, Conv1D)
NO_PRODUCT = (torch.nn.Embedding, _ConvNd)


def lora_config(spec: AdapterSpec, model: Any, task: str) -> LoraConfig:
    """What PEFT adds to a base model for a task of its own list, such as `CAUSAL_LM`.

    Raises:
        AlignlabError: a target is no layer of the model, or the update has dropout, which stacks
            of matrices have no place for.
    """
    try:
        return update_of(spec.lora, model, task)
    except AlignlabError as error:
        raise AlignlabError(f"{spec.name}: lora of {spec.base}: {error}") from error


def update_of(lora: Update, model: Any, task: str) -> LoraConfig:
    """As `lora_config`, for what an experiment says of the update alone."""
    layers, stacks = _layers(model), _stacks(model)
    if lora.targets != "all-linear":
        layers, stacks = _chosen(lora.targets, layers, stacks)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=(
            lora.targets if lora.targets == "all-linear" else sorted(set(map(_leaf, layers)))
        ),
        target_parameters=stacks,
        exclude_modules=_routers(model) or None,
        task_type=task,
    )
    try:
        convert_peft_config_for_transformers(config, model, None)
    except ValueError as error:  # gate_proj without up_proj, which are one matrix
        raise AlignlabError(f"targets: {error}") from error
    if not isinstance(kept := config.target_modules, str):
        weights = {f"{name}.weight" for name in layers if _leaf(name) not in kept}
        config.target_parameters = sorted(weights.union(config.target_parameters or ()))
    if config.target_parameters and lora.dropout:
        raise AlignlabError(
            "dropout: experts are stacks of matrices, which cannot be tuned with dropout; set it "
            "to 0, or name other layers as `lora.targets`"
        )
    return config


def _chosen(
    targets: Sequence[str], layers: list[str], stacks: list[str]
) -> tuple[list[str], list[str]]:
    """The layers and stacks that are named; PEFT refuses names only if none matches."""
    known = set(map(_leaf, layers + stacks))
    if unknown := sorted(set(targets) - known):
        raise AlignlabError(
            f"targets: the model has no linear layer {', '.join(unknown)}; it has "
            f"{', '.join(sorted(known))}"
        )
    named, stacked = ([n for n in names if _leaf(n) in targets] for names in (layers, stacks))
    return named, stacked


def _layers(model: Any) -> list[str]:
    """Names of linear layers, without the head and routers."""
    heads, routers = _heads(model), _routers(model)
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, LINEAR) and module not in heads and name not in routers
    ]


def _routers(model: Any) -> list[str]:
    """Names of linear layers that give more than a product, which PEFT expects of them."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, LINEAR) and "Router" in type(module).__name__
    ]


def _stacks(model: Any) -> list[str]:
    """Names of parameters that are several matrices in one."""
    return [name for name, parameter in _matrices(model) if parameter.dim() == 3]


def left_frozen(model: PeftModel) -> list[str]:
    """Names of matrices that have no update, such as routers; embeddings and the head aside."""
    base = model.get_base_model()
    tuned = [module for module in base.modules() if isinstance(module, BaseTunerLayer)]
    updated = {
        id(getattr(module.get_base_layer(), getattr(module, "parameter_name", "weight")))
        for module in tuned
    }
    return sorted(
        name.replace(".base_layer", "")
        for name, parameter in _matrices(base)
        if id(parameter) not in updated and not parameter.requires_grad
    )


def _matrices(model: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:
    heads = _heads(model)
    for path, module in model.named_modules():
        if isinstance(module, NO_PRODUCT) or module in heads:
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.dim() > 1 and min(parameter.shape) > 1:
                yield f"{path}.{name}", parameter


def _heads(model: Any) -> tuple[Any, ...]:
    """What turns states into logits, or into the score of a reward model."""
    return model.get_output_embeddings(), getattr(model, "score", None)


def _leaf(name: str) -> str:
    """The last part of a name that says which layer it is."""
    return name.removesuffix(".weight").rpartition(".")[2]
