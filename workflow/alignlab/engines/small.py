"""A config of the very class of a model's, with the same kinds of layers, but of a tiny model.

Rope, sinks, caps, ratio of heads and what makes layers differ stay; sizes and windows shrink, so
that a few tokens reach past a window's edge and a forward pass takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

WINDOWS = (
    *("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length"),
    *("max_seq_length", "context_length", "n_ctx"),
)
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
# Layers, the last ones, that use the keys and values of one before them (Gemma 3n).
SHARED = "num_kv_shared_layers"
# A list with more different values gives sizes, no kinds.
MOST_KINDS = 4

# What makes a model large, and how much of it is enough to tell two computations apart.
SMALL = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "word_embed_proj_dim"), 64),
    **dict.fromkeys(("embedding_size", "embed_dim", "attention_hidden_size"), 64),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "d_ff", "ffn_hidden_size"), 64),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 64),
    **dict.fromkeys(("shared_intermediate_size", "intermediate_size_mlp", "expert_dim"), 64),
    **dict.fromkeys(LAYERS, 2),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), 64),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("head_dim", "global_head_dim", "attention_head_dim", "qk_nope_head_dim"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "rotary_dim", "v_head_dim", "d_kv"), 8),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "hidden_size_per_layer_input"), 16),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_k"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "first_k_dense_replace"), 1),
    **dict.fromkeys(("sliding_window", "window_size", "attention_chunk_size"), 8),
    **dict.fromkeys(WINDOWS, 64),
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads", "mamba_chunk_size"), 8),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim", "mamba_d_state", "ssm_state_size"), 16),
    **dict.fromkeys(("mamba_d_ssm",), 128),
    **dict.fromkeys(("image_size", "patch_size"), 16),
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    # Of Jamba: every second layer is attention, with experts.
    **dict.fromkeys(("attn_layer_period", "expert_layer_period"), 2),
    **dict.fromkeys(("attn_layer_offset", "expert_layer_offset"), 1),
}
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "num_global_key_value_heads")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")


def reduced(config: Any) -> Any:
    """The same config, of a model that runs in milliseconds."""
    return type(config).from_dict(_reduced(config.to_dict()))


def _reduced(keys: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: _smaller(name, value) for name, value in keys.items()}
    for name in LAYERS:
        if isinstance(number := keys.get(name), int):
            chosen, shared = _layers(keys, number)
            found |= {key: [keys[key][at] for at in chosen] for key in _per_layer(keys, number)}
            found |= {name: len(chosen)} | ({SHARED: shared} if SHARED in keys else {})
            if own := keys.get("per_layer_config"):  # what single layers have otherwise
                own = {int(at): _reduced(each) for at, each in own.items()}
                found["per_layer_config"] = {
                    new: own[at] for new, at in enumerate(chosen) if at in own
                }
    if found.get("attention_types"):  # of GPT-Neo: kinds of layers, and how often they come
        found["attention_types"] = [[keys["attention_types"][0][0], 1]]
        found["attention_layers"] = list(keys["attention_types"][0][0])
    if found.get("attn_layer_indices"):  # of Bamba
        found["attn_layer_indices"] = [1]
    if keys.get("head_dim") and keys["head_dim"] == keys.get("qk_rope_head_dim"):
        found["head_dim"] = SMALL["qk_rope_head_dim"]  # DeepSeek's is the width of its rope
    heads = next((keys[name] for name in HEADS if isinstance(keys.get(name), int)), 0)
    for name in KV_HEADS:
        if isinstance(old := keys.get(name), int):
            found[name] = 4 if old == heads else min(old, 2)
    return found


def _per_layer(keys: Mapping[str, Any], number: int) -> list[str]:
    """Names of the lists that say something of every layer."""
    return [
        name
        for name, value in keys.items()
        if isinstance(value, list) and len(value) == number and name not in SMALL
    ]


def _layers(keys: Mapping[str, Any], number: int) -> tuple[list[int], int]:
    """Layers, at least two, of every kind that there is; and how many reuse another's keys."""
    lists = [keys[name] for name in _per_layer(keys, number)]
    lists = [
        each
        for each in lists
        if all(isinstance(value, Hashable) for value in each) and len(set(each)) <= MOST_KINDS
    ]
    kinds = list(zip(*lists, strict=True)) or [()] * number
    first = {kind: at for at, kind in reversed(list(enumerate(kinds)))}
    if keys.get(SHARED):  # the last layers, each of a kind that comes before them
        last = {kind: at for at, kind in enumerate(kinds)}
        return sorted([*first.values(), *last.values()]), len(last)
    return sorted({*first.values(), *range(min(2, number))}), 0


def _smaller(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return _reduced(value)
    if name in SMALL and value is not None and not isinstance(value, bool):
        return SMALL[name] if isinstance(value, int | list) else value
    if name in {"long_factor", "short_factor"}:
        return value[:8]
    return [2, 3, 3] if name == "mrope_section" else value
