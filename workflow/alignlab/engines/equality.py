"""Whether our attention over a shared prefix computes what plain transformers does, per model.

A model of the very config class, with the same kinds of layers, rope, sinks, caps and ratio of
heads, but small and with random weights, runs both ways in float32: with and without a prefix,
beside a longer row, over the edge of a sliding window, and one token further from the cache. What
is not equal is answered by plain `generate`, one row at a time; what transformers itself does not
run as a causal language model is refused.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from alignlab.core.errors import AlignlabError
from alignlab.engines.prefix_attention import NAME, Context, Prefix, growing_cache

# Relative to the greatest logit, in float32.
TOLERANCE = 1e-4
PREFIX = [5, 9, 33, 17, 60, 21, 44, 8, 29, 50, 13]
ROWS = ([7, 40, 12], [30, 6, 25, 58, 11, 47, 19, 36, 3, 22, 61, 15, 28, 42])
NEXT = [18, 55]
# Rope whose angles depend on the longest row of a batch.
BY_LENGTH = {"dynamic", "longrope"}
# Other kinds keep what a token may see in a mask or a state, which has no place for a prefix.
LAYERS = {"full_attention", "sliding_attention"}
WINDOWS = (
    *("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length"),
    *("max_seq_length", "context_length", "n_ctx"),
)
# ALiBi has no greatest position; the length of training (arXiv 2211.05100 §3.2).
TRAINED = {"bloom": 2048}

# What makes a model large, and how much of it is enough to tell two computations apart.
SMALL = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "word_embed_proj_dim"), 64),
    **dict.fromkeys(("embedding_size", "embed_dim", "attention_hidden_size"), 64),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "d_ff", "ffn_hidden_size"), 64),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 64),
    **dict.fromkeys(("shared_intermediate_size", "intermediate_size_mlp", "expert_dim"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), 64),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("head_dim", "global_head_dim", "attention_head_dim", "qk_nope_head_dim"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "rotary_dim", "v_head_dim", "d_kv"), 8),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "hidden_size_per_layer_input"), 16),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "top_k_experts"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "first_k_dense_replace"), 1),
    **dict.fromkeys(("sliding_window", "window_size", "attention_chunk_size"), 8),
    **dict.fromkeys(WINDOWS, 64),
    **dict.fromkeys(("image_size", "patch_size"), 16),
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "num_kv_shared_layers": 0},
}
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "num_global_key_value_heads")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")


@dataclass(frozen=True)
class Outcome:
    """How a model is run; `reason` says why it is not the fast way."""

    way: Literal["fast", "plain", "refused"]
    reason: str = ""


def context_window(config: Any, name: object) -> int:
    """Tokens that a model can see.

    Raises:
        AlignlabError: its config says nothing of it.
    """
    text = config.get_text_config(decoder=True)
    for key in WINDOWS:
        if isinstance(value := getattr(text, key, None), int) and value > 0:
            return value
    if text.model_type in TRAINED:
        return TRAINED[text.model_type]
    raise AlignlabError(
        f"{name}: config.json of a {text.model_type} model states no context window; expected one "
        f"of {', '.join(WINDOWS)}: add `max_position_embeddings` to config.json of a local folder"
    )


def record(folder: Path) -> None:
    """Compare the two ways for a materialised model and note the outcome in `alignlab.json`.

    Raises:
        AlignlabError: the model cannot be run either way.
    """
    config = _opened(folder)
    context_window(config, "model")
    outcome = examine(config)
    if outcome.way == "refused":
        raise AlignlabError(f"{_kind(config)}: {outcome.reason}; take a causal language model")
    note = folder / "alignlab.json"
    content = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
    content["engine"] = {**asdict(outcome), "transformers": transformers.__version__}
    note.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def outcome_of(folder: Path) -> Outcome:
    """What was noted of a model under this version of transformers, else a new comparison.

    Raises:
        AlignlabError: it cannot be run either way.
    """
    note = folder / "alignlab.json"
    if note.exists():
        noted = json.loads(note.read_text(encoding="utf-8")).get("engine", {})
        if noted.get("transformers") == transformers.__version__:
            return Outcome(noted["way"], noted["reason"])
    config = _opened(folder)
    outcome = examine(config)
    if outcome.way == "refused":
        raise AlignlabError(f"{folder}: {_kind(config)}: {outcome.reason}")
    return outcome


def _opened(folder: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, StrictDataclassError) as error:
        raise AlignlabError(f"{folder}: config.json cannot be opened: {_short(error)}") from error


def examine(config: Any) -> Outcome:
    """Decide how a model of this config is run; never raises for one that cannot be."""
    if config.is_encoder_decoder:
        return Outcome("refused", "an encoder-decoder model")
    try:
        small = reduced(config)
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(0)
            plain = AutoModelForCausalLM.from_config(
                small, attn_implementation="eager", dtype=torch.float32
            ).eval()
            _scatter(plain)
            expected = [_logits(plain, PREFIX + row) for row in ROWS]
    except Exception as error:  # any class of transformers, with any config
        return Outcome("plain", f"it could not be compared in small: {_short(error)}")
    if not all(logits.isfinite().all() for logits in expected):
        return Outcome("plain", "it could not be compared in small: no finite logits")
    if not _causal(plain, expected[1]):
        return Outcome("refused", "its logits of a token depend on later tokens")
    if problem := _unable(plain):
        return Outcome("plain", f"it could not be compared in small: {problem}")
    if (
        kinds := set(getattr(config.get_text_config(decoder=True), "layer_types", None) or [])
        - LAYERS
    ):
        return Outcome("plain", f"layers of type {', '.join(sorted(kinds))} keep other state")
    if kinds := rope_types(config) & BY_LENGTH:
        return Outcome("plain", f"its rope ({', '.join(sorted(kinds))}) depends on the longest row")
    return _compare(plain, small)


@torch.inference_mode()
def _compare(plain: Any, small: Any) -> Outcome:
    try:
        fast = AutoModelForCausalLM.from_config(
            copy.deepcopy(small), attn_implementation=NAME, dtype=torch.float32
        ).eval()
        fast.load_state_dict(plain.state_dict())
        for prefix in ([], PREFIX):
            found = _fast(fast, prefix)
            steps = [[*prefix, *row] for row in ROWS]
            after = [[*ids, token] for ids, token in zip(steps, NEXT, strict=True)]
            expected = [_logits(plain, ids)[-1] for ids in (*steps, *after)]
            if not _equal(found, torch.stack(expected)):
                return Outcome("plain", "its logits differ with a shared prefix or in a batch")
    except Exception as error:  # a class that takes no attention function fails in its own way
        return Outcome("plain", f"it takes no shared prefix: {_short(error)}")
    return Outcome("fast")


def _fast(model: Any, start: list[int]) -> Tensor:
    """Last logits of all rows after `start`, then of one more token each."""
    prefix = Prefix(0)
    if start:
        positions = torch.arange(len(start))[None]
        cache = growing_cache()
        _step(model, [start], Context(prefix, positions, positions), cache)
        sides = [[getattr(layer, side)[0] for layer in cache.layers] for side in ("keys", "values")]
        prefix = Prefix(len(start), tuple(sides[0]), tuple(sides[1]))
    width = max(map(len, ROWS))
    rows = [[0] * (width - len(row)) + row for row in ROWS]
    listed = [[-1] * (width - len(r)) + list(range(len(start), len(start) + len(r))) for r in ROWS]
    context = Context(prefix, torch.tensor(listed), torch.tensor(listed))
    cache = growing_cache()
    first = _step(model, rows, context, cache)
    context = context.extended(context.query_positions[:, -1:] + 1)
    return torch.cat([first, _step(model, [[token] for token in NEXT], context, cache)])


def _step(model: Any, rows: list[list[int]], context: Context, cache: Any) -> Tensor:
    output = model(
        input_ids=torch.tensor(rows),
        position_ids=context.query_positions.clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
        context=context,
    )
    return output.logits[:, -1]


def _logits(model: Any, ids: list[int]) -> Tensor:
    """Of a row alone, [tokens, vocab]."""
    logits: Tensor = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return logits


@torch.inference_mode()
def _causal(model: Any, whole: Tensor) -> bool:
    return _equal(_logits(model, PREFIX), whole[: len(PREFIX)])


@torch.inference_mode()
def _unable(model: Any) -> str:
    try:
        model.generate(torch.tensor([PREFIX]), max_new_tokens=2, do_sample=False, pad_token_id=0)
    except Exception as error:  # what any architecture's own code may raise
        return _short(error)
    return ""


def _equal(found: Tensor, expected: Tensor) -> bool:
    scale = expected.abs().max().clamp(min=1)
    return bool(((found - expected).abs().max() / scale) <= TOLERANCE)


def _scatter(model: Any) -> None:
    """Weights large enough that what a token sees changes its logits."""
    for parameter in model.parameters():
        spread = torch.randn_like(parameter) * 0.2
        parameter.copy_(spread if parameter.dim() > 1 else parameter + spread)


def reduced(config: Any) -> Any:
    """The same config, of a model that runs in milliseconds."""
    content = config.to_dict()
    return type(config).from_dict(_reduced(content))


def _reduced(keys: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: _smaller(name, value) for name, value in keys.items()}
    kinds = keys.get("layer_types") or keys.get("layers_block_type") or []
    layers = max((kinds.index(kind) + 1 for kind in set(kinds)), default=2)
    layers = max(2, layers)
    for name in ("num_hidden_layers", "n_layer", "n_layers", "num_layers"):
        if isinstance(old := keys.get(name), int):
            found[name] = layers
            lists = {k: v for k, v in found.items() if isinstance(v, list) and len(v) == old}
            found |= {key: value[:layers] for key, value in lists.items()}
    if found.get("attention_types"):  # of GPT-Neo: kinds of layers, and how often they come
        found["attention_types"] = [[keys["attention_types"][0][0], 1]]
        found["attention_layers"] = list(keys["attention_types"][0][0])
    if keys.get("head_dim") and keys["head_dim"] == keys.get("qk_rope_head_dim"):
        found["head_dim"] = SMALL["qk_rope_head_dim"]  # DeepSeek's is the width of its rope
    heads = next((keys[name] for name in HEADS if isinstance(keys.get(name), int)), 0)
    for name in KV_HEADS:
        if isinstance(old := keys.get(name), int):
            found[name] = 4 if old == heads else min(old, 2)
    return found


def _smaller(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return _reduced(value)
    if name in SMALL and value is not None and not isinstance(value, bool):
        return SMALL[name] if isinstance(value, int | list) else value
    if name in {"long_factor", "short_factor"}:
        return value[:8]
    return [2, 3, 3] if name == "mrope_section" else value


def rope_types(config: Any) -> set[str]:
    """Every kind of rope of a config; layers of Gemma 3 have two."""
    rope = getattr(config.get_text_config(decoder=True), "rope_parameters", None) or {}
    parts = [rope, *(part for part in rope.values() if isinstance(part, dict))]
    return {str(part["rope_type"]) for part in parts if part.get("rope_type")}


def _kind(config: Any) -> str:
    return f"architecture {config.model_type}"


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:160]}"
