"""Whether our attention over a shared prefix computes what plain transformers does, per model.

Twice, each time by the code that engines run: rows of different lengths, with and without a prefix,
over a window's edge, further tokens of all rows, kept or not, and rows that leave their batch.
A small model of the very config class with random weights is compared in float32 when a model is
fetched, so that nothing runs the wrong way; the very weights, in the precision that they are used
in, when an engine has loaded them. What is not equal is answered by plain `generate`, one row at a
time; what transformers itself does not run as a causal language model is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from alignlab.core.errors import AlignlabError
from alignlab.engines.batches import PrefixModel
from alignlab.engines.prefix_attention import NAME
from alignlab.engines.small import WINDOWS, reduced

# What transformers itself takes, the first that an architecture has.
OWN = ("sdpa", "eager")
FIXED = "its attention is no function that could be replaced"
ADVICE = "take a causal language model"
# Of logits, relative to the greatest. In float32 5e-6 was seen of gemma-3-270m and smollm2-135m; a
# prefix that is not seen makes 0.6. The limits of half precision are a judgement.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.15, torch.float16: 0.03}
# Ids of a vocabulary of `IDS`; in a larger one they are spread as widely.
IDS = 64
Rows = Sequence[list[int]]
Trial = tuple[list[int], Rows]
"""A prefix, and rows that continue it: two of like length, which are padded, and a short one."""
PREFIX = [5, 9, 33, 17, 60, 21, 44, 8, 29, 50, 13]
ROWS = (
    [30, 6, 25, 58, 11, 47, 19, 36, 3, 22, 61, 15, 28, 42],
    [52, 14, 39, 27, 4, 57, 31, 10, 46, 20, 35, 62, 7],
    [7, 40, 12],
)
NEXT = ([18, 55], [41, 23], [50, 9])
IN_SMALL: tuple[Trial, ...] = (([], ROWS), (PREFIX, ROWS))
# As few tokens as tell; both ways together run through some fifty.
LOADED: tuple[Trial, ...] = ((PREFIX[:3], (ROWS[0][:6], ROWS[1][:5], ROWS[2][:1])),)
# Rope whose angles depend on the longest row of a batch.
BY_LENGTH = {"dynamic", "longrope"}
# Other kinds keep what a token may see in a mask or a state, which has no place for a prefix.
LAYERS = {"full_attention", "sliding_attention"}
# ALiBi has no greatest position; the length of training (arXiv 2211.05100 §3.2).
TRAINED = {"bloom": 2048}


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
    outcome = examine(config)
    if outcome.way == "refused":
        raise AlignlabError(f"architecture {config.model_type}: {outcome.reason}")
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
        raise AlignlabError(f"{folder}: architecture {config.model_type}: {outcome.reason}")
    return outcome


def _opened(folder: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, StrictDataclassError) as error:
        raise AlignlabError(f"{folder}: config.json cannot be opened: {_short(error)}") from error


def examine(config: Any) -> Outcome:
    """Decide how a model of this config is run; never raises for one that cannot be."""
    if config.is_encoder_decoder:
        return Outcome("refused", f"an encoder-decoder model; {ADVICE}")
    try:
        context_window(config, "model")
        model = small_model(config)
        whole = _logits(model, PREFIX + ROWS[0])
    except AlignlabError as error:
        return Outcome("refused", str(error))
    except ImportError as error:
        return Outcome("refused", f"a package is missing that it needs: {_short(error)}")
    except Exception as error:  # any class of transformers, with any config
        return Outcome("plain", f"it could not be compared in small: {_short(error)}")
    if not whole.isfinite().all():
        return Outcome("plain", "it could not be compared in small: no finite logits")
    if _deviation(_logits(model, PREFIX), whole[: len(PREFIX)]) > TOLERANCE[torch.float32]:
        return Outcome("refused", f"its logits of a token depend on later tokens; {ADVICE}")
    if problem := _unable(model):
        return Outcome("plain", f"it could not be compared in small: {problem}")
    text = config.get_text_config(decoder=True)
    if kinds := set(getattr(text, "layer_types", None) or []) - LAYERS:
        return Outcome("plain", f"layers of type {', '.join(sorted(kinds))} keep other state")
    if kinds := rope_types(config) & BY_LENGTH:
        return Outcome("plain", f"its rope ({', '.join(sorted(kinds))}) depends on the longest row")
    model.set_attn_implementation(NAME)
    reason = compare(model, IN_SMALL) or _odd_generate(model)
    return Outcome("plain", reason) if reason else Outcome("fast")


def small_model(config: Any) -> Any:
    """A model of a config's kind, small and with random weights, that transformers runs plainly."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(reduced(config), dtype=torch.float32).eval()
        for parameter in model.parameters():  # so large that what a token sees changes its logits
            spread = torch.randn_like(parameter) * 0.2
            parameter.copy_(spread if parameter.dim() > 1 else parameter + spread)
    return model


@torch.inference_mode()
def compare(model: Any, trials: tuple[Trial, ...] = LOADED) -> str:
    """Why a model whose attention is `prefix_attention` must be run plainly; empty if it need not.

    Its attention is then left as it may be; a plain model is loaded as such.
    """
    if model.config._attn_implementation != NAME:
        return FIXED
    scale = max(1, model.config.get_text_config(decoder=True).vocab_size // IDS)
    spread = [
        (_spread(start, scale), [_spread(row, scale) for row in rows]) for start, rows in trials
    ]
    following = [_spread(tokens, scale) for tokens in NEXT]
    try:
        found = torch.cat([_found(model, start, rows, following) for start, rows in spread])
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a class that takes no attention function fails in its own way
        return f"it takes no shared prefix: {_short(error)}"
    if not _take_own_attention(model):
        return FIXED
    expected = torch.cat([_expected(model, start, rows, following) for start, rows in spread])
    model.set_attn_implementation(NAME)
    # What is no number is named when it is met; plain transformers has none either.
    off = _deviation(found, expected) if expected.isfinite().all() else 0
    if not off <= TOLERANCE[model.dtype]:
        return f"its logits differ with a shared prefix or in a batch by {off:.1g} of the greatest"
    return ""


def _take_own_attention(model: Any) -> bool:
    """Whether the model could be made to run by transformers alone."""
    for own in OWN:
        try:
            model.set_attn_implementation(own)
        except ValueError:  # the architecture has none of this name
            continue
        return model.config._attn_implementation == own
    return False


def _found(model: Any, start: list[int], rows: Rows, following: Rows) -> Tensor:
    """Our logits after rows that continue `start`, and after one or two more tokens of each."""
    runs = PrefixModel(model, model.device)
    batch = runs.start(rows, runs.prefill_prefix(start))
    found = [batch.logits, batch.peek([following[0], following[1][:1], following[2]])]
    batch.extend([tokens[:1] for tokens in following])
    found.append(batch.logits)
    batch.keep([0, 2])
    batch.extend([following[0][1:], following[2][1:]])
    return torch.cat([*found, batch.logits])


def _expected(model: Any, start: list[int], rows: Rows, following: Rows) -> Tensor:
    """The same by transformers alone, each row whole and by itself."""
    whole = [start + row + tokens for row, tokens in zip(rows, following, strict=True)]
    after, one, two = torch.stack([_logits(model, ids)[-3:] for ids in whole], dim=1)
    return torch.cat([after, two[:1], one[1:2], two[2:], one, two[:1], two[2:]])


def _spread(ids: list[int], scale: int) -> list[int]:
    return [token * scale for token in ids]


@torch.inference_mode()
def _logits(model: Any, ids: list[int]) -> Tensor:
    """Of a row alone, float32 [tokens, vocab]."""
    tokens = torch.tensor([ids], device=model.device)
    return model(input_ids=tokens, use_cache=False).logits[0].float()


@torch.inference_mode()
def _unable(model: Any) -> str:
    try:
        model.generate(torch.tensor([PREFIX]), max_new_tokens=2, do_sample=False, pad_token_id=0)
    except Exception as error:  # what any architecture's own code may raise
        return _short(error)
    return ""


@torch.inference_mode()
def _odd_generate(model: Any) -> str:
    """Why answers of `generate`, which ours must equal, are not those of forward passes."""
    _take_own_attention(model)
    ids = PREFIX + ROWS[0]
    tokens = torch.tensor([ids])
    made = model.generate(tokens, max_new_tokens=4, do_sample=False, pad_token_id=0)[0].tolist()
    greedy = _logits(model, made[:-1])[len(ids) - 1 :].argmax(dim=-1).tolist()
    return "" if made[len(ids) :] == greedy else "its generate differs from its own forward pass"


def _deviation(found: Tensor, expected: Tensor) -> float:
    """The greatest difference, relative to the greatest logit."""
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1))


def rope_types(config: Any) -> set[str]:
    """Every kind of rope of a config; layers of Gemma 3 have two."""
    rope = getattr(config.get_text_config(decoder=True), "rope_parameters", None) or {}
    parts = [rope, *(part for part in rope.values() if isinstance(part, dict))]
    return {str(part["rope_type"]) for part in parts if part.get("rope_type")}


def _short(error: Exception) -> str:
    first = next(filter(str.strip, str(error).splitlines()), "")
    return f"{type(error).__name__}: {first.strip()[:160]}"
