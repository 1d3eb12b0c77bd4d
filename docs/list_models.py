"""Writes `docs/models.md`: how each causal architecture of the installed transformers is run."""

from __future__ import annotations

import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from alignlab.core.errors import AlignlabError
from alignlab.engines.base import Request
from alignlab.engines.config import DecodingConfig
from alignlab.engines.equality import PREFIX, ROWS, Outcome, examine, small_model
from alignlab.engines.transformers_engine import load
from alignlab.planning.fingerprint import code
from alignlab.prompting.encode import Stopping

PAGE = Path(__file__).with_name("models.md")
TOKENIZER = Path(__file__).parents[1] / "config/catalog/tiny-tokenizer"
HUNYUAN = {
    "head_dim": 128,
    "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "alpha": 1e3, "factor": 1.0},
}
# Defaults of some config classes belong to no model; these are what published ones say.
PUBLISHED: dict[str, dict[str, Any]] = {
    "deepseek_v2": {"num_experts_per_tok": 6, "n_group": 1, "topk_group": 1},
    "nemotron": {"num_key_value_heads": 8},
    "phimoe": {"sliding_window": 8},
    "gemma2": {"sliding_window": 8},
    "dots1": {"num_experts_per_tok": 6, "n_routed_experts": 128, "n_shared_experts": 2},
    "bamba": {"attn_layer_indices": [9, 18, 27]},
    "granitemoehybrid": {"layer_types": ["mamba", "mamba", "mamba", "attention"] * 8},
    "lfm2_moe": {"layer_types": ["conv", "conv", "conv", "full_attention"] * 8},
    **dict.fromkeys(("hunyuan_v1_dense", "hunyuan_v1_moe"), HUNYUAN),
}
# Their parts are too many or too large to be made small within seconds.
LARGE = {"bailing_hybrid", "blt", "kimi_linear", "longcat_flash", "xlm"}
NEW_TOKENS = 8
HEAD = """# Models

How each architecture of transformers is run, with the defaults of its config class: `fast` shares a
prefix and batches, and equals plain transformers; `plain` is transformers' own `generate`, one row
at a time; `refused` is no causal language model. *Answers* says whether the answers of a small
random model through our engine were those of `generate`, in a batch, after a shared prefix, and
with a row asked again after a longer one; a dash, that no such model could be made. A model of
yours is compared by its own config when it is fetched, and the outcome stands in its
`alignlab.json`: its layers, rope or window may lead to another way than the defaults. Its very
weights are compared when an engine has loaded them; what then differs is run plainly, and the
report names it.

Written by `python docs/list_models.py`, with {versions}.

| architecture | way | answers | why |
|---|---|---|---|
"""


def versions() -> str:
    """What the page depends on: transformers, and the code that decides."""
    own = code().fingerprint("alignlab.engines.equality")
    return f"transformers {transformers.__version__} and code {own}"


def config_of(name: str, **keys: Any) -> Any:
    """The defaults of an architecture.

    Raises:
        ValueError: the class demands keys that no default has.
    """
    try:
        return CONFIG_MAPPING[name](**PUBLISHED.get(name, {}), **keys)
    except StrictDataclassError as error:
        raise ValueError(f"{error}") from error


def line(name: str) -> str:
    """The row of an architecture."""
    try:
        config = config_of(name)
    except ValueError as error:
        outcome, answers = Outcome("refused", f"no defaults: {error}"), "–"
    else:
        outcome = examine(config)
        answers = "–" if outcome.way == "refused" else answered(config)
    why = outcome.reason.replace("|", "\\|").replace("\n", " ")
    return f"| {name} | {outcome.way} | {answers} | {why} |\n"


def answered(config: Any) -> str:
    """Whether a small model of a config answers as `generate` does."""
    try:
        model = small_model(config)
    except Exception:  # any class of transformers, with any config
        return "–"
    rows = [PREFIX + ROWS[at] for at in (2, 0, 2, 1)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            model.save_pretrained(folder)
            AutoTokenizer.from_pretrained(TOKENIZER).save_pretrained(folder)
            expected = [_generate(Path(folder), row) for row in rows]
        except Exception:
            return "–"
        try:
            engine = load(Path(folder), "float32", len(rows))
            engine.end_ids = set()
            decoding = DecodingConfig(max_new_tokens=NEW_TOKENS)
            batches = engine.generate([Request(row) for row in rows], PREFIX, decoding, Stopping())
            found = dict(chain.from_iterable(batches))
        except AlignlabError as error:
            return f"refused: {error}".replace(folder, "")
    return "equal" if [found[i].token_ids for i in range(len(rows))] == expected else "DIFFERENT"


def _generate(folder: Path, row: list[int]) -> list[int]:
    """By a model that has answered nothing before."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.generation_config = GenerationConfig(
        max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0
    )
    return model.generate(torch.tensor([row]))[0, len(row) :].tolist()


if __name__ == "__main__":
    names = sorted(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - LARGE)
    lines = "".join(map(line, names))
    PAGE.write_text(HEAD.format(versions=versions()) + lines, encoding="utf-8")
