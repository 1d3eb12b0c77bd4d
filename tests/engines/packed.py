"""Linear layers packed by hand as checkpoints hold them, and the numbers they stand for.

Layouts of GPTQ (qweight [in / 8, out], int32, lowest nibble first) and of compressed-tensors
(int-quantized and float-quantized, a scale for each output).
"""

import json
import shutil

import torch
from safetensors.torch import load_file, save_file

GROUP = 32
SYMMETRIC = {"sym": True, "desc_act": False}
EIGHT_BITS = {"num_bits": 8, "symmetric": True, "strategy": "channel", "dynamic": False}
A_TOKEN = {"num_bits": 8, "symmetric": True, "strategy": "token", "dynamic": True}


def words(nibbles):
    """int32 out of the last dimension's eight nibbles, lowest first."""
    total = (nibbles.long() << torch.arange(0, 32, 4)).sum(-1)
    return torch.where(total >= 2**31, total - 2**32, total).to(torch.int32)


def gptq(weight):
    rows = weight.float().view(len(weight), -1, GROUP)
    scales = (rows.abs().amax(-1) / 7).half()
    kept = (rows / scales.float()[..., None]).round().clamp(-8, 7)
    packed = words((kept + 8).flatten(1).T.reshape(-1, 8, len(weight)).transpose(1, 2))
    zeros = torch.full((scales.shape[1], len(weight) // 8, 8), 7)  # 8, less the 1 that readers add
    order = (torch.arange(weight.shape[1]) // GROUP).to(torch.int32)
    parts = {"qweight": packed, "qzeros": words(zeros), "scales": scales.T, "g_idx": order}
    return parts, (kept * scales.float()[..., None]).flatten(1)


def by_output(weight, most, cast):
    scale = (weight.float().abs().amax(1, keepdim=True) / most).bfloat16().float()
    kept = cast(weight.float() / scale)
    return {"weight": kept, "weight_scale": scale}, kept.float() * scale


def int8(weight):
    return by_output(weight, 127, lambda x: x.round().clamp(-127, 127).to(torch.int8))


def fp8(weight):
    return by_output(weight, 448, lambda x: x.to(torch.float8_e4m3fn))


def grouped(kind, form):
    group = {"weights": EIGHT_BITS | {"type": kind}, "input_activations": A_TOKEN | {"type": kind}}
    groups = {"group_0": {"targets": ["Linear"], **group}}
    method = {"quant_method": "compressed-tensors", "quantization_status": "compressed"}
    return {**method, "format": form, "config_groups": groups, "ignore": ["lm_head"]}


FORMATS = {
    "gptq": (gptq, {"quant_method": "gptq", "bits": 4, "group_size": GROUP, **SYMMETRIC}),
    "int8": (int8, grouped("int", "int-quantized")),
    "fp8": (fp8, grouped("float", "float-quantized")),
}


def seen(form, x):
    """What a packed layer multiplies with: its input, in 8 bits where the format says so."""
    if form == "gptq":
        return x
    scale = x.float().abs().amax(-1, keepdim=True) / {"int8": 127, "fp8": 448}[form]
    kept = x.float() / scale
    kept = kept.round() if form == "int8" else kept.to(torch.float8_e4m3fn).float()
    return (kept * scale).to(x.dtype)


def write(source, packed, plain, form):
    """Pack the layers of a model folder; `plain` gets the numbers that `packed` stands for."""
    pack, config = FORMATS[form]
    there, numbers = {}, {}
    for name, tensor in load_file(source / "model.safetensors").items():
        there[name] = numbers[name] = tensor
        if name.endswith("_proj.weight"):
            parts, numbers[name] = pack(there.pop(name))
            there |= {name.removesuffix("weight") + k: v.contiguous() for k, v in parts.items()}
    for folder, tensors in ((packed, there), (plain, numbers)):
        shutil.copytree(source, folder)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    path = packed / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": config}))
