"""What the files of a model hold, against what its architecture has: nothing random, nothing lost.

Names and shapes of all tensors, wrappers that training code leaves in names, quantised weights, and
code that a model brings with it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import filterfalse
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForTextEncoding,
    AutoTokenizer,
    GenerationConfig,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.tokenization_auto import tokenizer_class_from_name
from transformers.utils import logging

from alignlab.core.errors import AlignlabError
from alignlab.core.tables import WRITE_ERRORS
from alignlab.engines.packing import PLAIN, READ, packing

# Keys that name code: a stranger's, or the hub's kernel with which a machine computed attention.
CODE = {"auto_map", "attn_implementation", "experts_implementation"}
CODE |= {"_attn_implementation", "_experts_implementation"}
# They map texts of a stranger to numbers; no key of them is a setting.
VOCABULARIES = {"tokenizer.json", "vocab.json", "added_tokens.json"}
FLOATS = {"F64", "F32", "F16", "BF16"}
# Tensors that quantised weights have beside them: FP8, compressed-tensors, GPTQ, AWQ, bitsandbytes.
PACKED = re.compile(
    r"[._](weight_scale(_inv)?|weight_packed|qweight|qzeros|SCB|absmax|quant_map"
    r"|input_scale)$|\.scales$"
)
# Masks that old checkpoints hold; transformers leaves out the others, which are more common.
OLD = re.compile(r"\.(attn|attention)\.masked_bias$")
# What a sentence's embedding does not depend on.
HEADS = re.compile(
    r"(^|\.)(pooler|cls|lm_head|classifier|score|qa_outputs|vocab_\w+|predictions)\.|position_ids$"
)
COMPILED = "_orig_mod."
WRAPPERS = (COMPILED, "module.", "base_model.model.")


def account(folder: Path) -> None:
    """Compare names and shapes of all tensors with those of the architecture; reads no weights.

    Raises:
        AlignlabError: they differ; what transformers itself leaves out or ties does not count.
    """
    require_all(_loading_info(AutoModelForCausalLM, folder), "the weights")


def account_embedder(folder: Path) -> None:
    """The same of a model that embeds sentences, which may lack, or have, heads that it never uses.

    Raises:
        AlignlabError: tensors of the encoder itself differ, or its config cannot be opened.
    """
    with opening("config.json"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    kind = AutoModelForTextEncoding if config.is_encoder_decoder else AutoModel
    found = _loading_info(kind, folder)
    for key in ("missing_keys", "unexpected_keys"):
        found[key] = {name for name in found[key] if not HEADS.search(name)}
    require_all(found, "the weights")


def _loading_info(kind: Any, folder: Path) -> dict[str, Any]:
    """What transformers says of placing the tensors of a folder into an empty model."""
    with _quiet(), opening("config.json"):
        _, found = kind.from_pretrained(
            folder,
            device_map="meta",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
    return found


@contextmanager
def opening(what: str) -> Iterator[None]:
    """Name the file that transformers cannot open; each class of it fails in its own way.

    Raises:
        AlignlabError: for any error but those of the system, such as a full disk.
    """
    try:
        yield
    except (AlignlabError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in WRITE_ERRORS:
            raise
        said = f"{type(error).__name__}: {str(error)[:500]}"
        raise AlignlabError(f"{what}: transformers cannot open it: {said}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' own report, of which every line is in our message."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def require_all(found: dict[str, Any], where: str) -> None:
    """Raise an AlignlabError that names the tensors which transformers could not place."""
    shapes = [
        f"{name} is {list(here)}, expected {list(there)}"
        for name, here, there in sorted(found["mismatched_keys"])
    ]
    kinds = {
        "missing": sorted(found["missing_keys"]),
        "not part of the architecture": sorted(filterfalse(OLD.search, found["unexpected_keys"])),
        "of another shape": shapes,
        "not convertible": sorted(found["error_msgs"]),
    }
    problems = [f"{len(v)} {kind} ({_some(v)})" for kind, v in kinds.items() if v]
    if problems:
        raise AlignlabError(
            f"{where}: not those of the architecture in config.json: {'; '.join(problems)}; save "
            "the model again with `save_pretrained`, or correct config.json"
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")


def dtypes(shard: Path) -> dict[str, str]:
    """Name → dtype of the tensors of a file."""
    try:
        with safe_open(shard, framework="pt") as file:
            return {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise AlignlabError(f"{shard}: damaged safetensors file: {error}") from error


def require_plain(folder: Path, held: dict[str, dict[str, str]], packed: bool) -> bool:
    """Whether the weights are quantised, which only an engine that unpacks them may be given.

    Raises:
        AlignlabError: they are, and no such engine runs the model or this format, or nothing says
            how they are packed.
    """
    method = packing(read_settings(folder / "config.json"))
    signs = [
        f"{name} is {dtype}"
        for names in held.values()
        for name, dtype in names.items()
        if PACKED.search(name) or (name.endswith(".weight") and dtype not in FLOATS)
    ]
    if not method and not signs:
        return False
    shown = f" ({_some(signs)})" if signs else ""
    if method and method not in READ:
        raise AlignlabError(
            f"config.json: quantization_config: the weights are {method}{shown}, which neither "
            f"transformers nor vLLM reads here; {PLAIN}"
        )
    if method and packed:
        return True
    if method:
        raise AlignlabError(
            f"config.json: quantization_config: the weights are {method}{shown}; only vLLM runs "
            "them: set `engine: vllm` for this model in the catalog and install it with `make "
            f"vllm`, or {PLAIN}"
        )
    raise AlignlabError(
        f"the weights are quantised{shown}, and config.json has no quantization_config that says "
        "how they are unpacked; take config.json from where the weights come, or weights that are "
        "not quantised"
    )


def wrappers_of(names: list[str]) -> list[str]:
    """What training code put before the names of all tensors, outermost first; and in between."""
    found: list[str] = []
    while wrapper := next(
        (w for w in WRAPPERS if names and all(n.startswith("".join([*found, w])) for n in names)),
        None,
    ):
        found.append(wrapper)
    inside = any(COMPILED in name.removeprefix("".join(found)) for name in names)
    return [*found, COMPILED] if inside else found


def renamed(name: str, wrappers: list[str]) -> str:
    """A tensor's name without wrappers."""
    for wrapper in wrappers:
        name = name.removeprefix(wrapper)
    return name.replace(COMPILED, "")


def copy_shard(shard: Path, target: Path, wrappers: list[str]) -> None:
    """Copy a file of weights, its tensors renamed if they are wrapped."""
    if not wrappers:
        shutil.copyfile(shard, target)
        return
    with safe_open(shard, framework="pt") as file:
        tensors = {renamed(n, wrappers): file.get_tensor(n) for n in file.keys()}  # noqa: SIM118
        if len(tensors) != len(file.keys()):
            raise AlignlabError(f"{shard}: two tensors have one name without {', '.join(wrappers)}")
    save_file(tensors, target, metadata={"format": "pt"})


def without_code(folder: Path) -> None:
    """Take out of a model's settings, at any depth, what names code beside the weights.

    Raises:
        AlignlabError: without that code transformers has no such model or no such tokenizer.
    """
    for path in sorted(folder.rglob("*.json")):
        if path.name in VOCABULARIES:
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):  # what reads it says so
            continue
        if (plain := _plain(content)) != content:
            _write(path, plain)
        if not (named := sorted(_code(content))):
            continue
        code = f"{path.name}: auto_map names code ({_some(named)}), never run here"
        kind = content.get("tokenizer_class")
        if path.name == "config.json" and content.get("model_type") not in CONFIG_MAPPING:
            kind = content.get("model_type")
            raise AlignlabError(f"{code}, and transformers has no model type {kind!r} of its own")
        if path.name == "tokenizer_config.json" and not tokenizer_class_from_name(kind or ""):
            raise AlignlabError(f"{code}, and transformers has no tokenizer {kind!r} of its own")


def _code(content: Any, *, named: bool = False) -> Iterator[str]:
    """The texts below every key `auto_map`; with `named` all of them."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _code(value, named=named or key == "auto_map")
    elif isinstance(content, list):
        for value in content:
            yield from _code(value, named=named)
    elif named and isinstance(content, str):
        yield content


def _plain(content: Any) -> Any:
    """Content without any key that names code."""
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items() if key not in CODE}
    return [_plain(value) for value in content] if isinstance(content, list) else content


def require_ends(folder: Path) -> None:
    """Open the generation config, which says what ends an answer, before any job does.

    Raises:
        AlignlabError: it cannot be opened, or names something else than tokens.
    """
    with opening("generation_config.json"):
        ends = GenerationConfig.from_pretrained(folder).eos_token_id
    if not all(isinstance(id_, int | None) for id_ in (ends if isinstance(ends, list) else [ends])):
        raise AlignlabError(f"generation_config.json: eos_token_id: {ends!r} is no token's number")


def require_tokenizer(folder: Path) -> None:
    """Open the tokenizer before any job does.

    Raises:
        AlignlabError: it cannot be opened, or a prompt may hold a token of it that the model has no
            weights for.
    """
    with opening("the tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        rows = config.get_text_config(decoder=True).vocab_size
    beyond = {id_: token for token, id_ in tokenizer.get_vocab().items() if id_ >= rows}
    # Other control tokens, such as the padding that trainers add, come into no prompt.
    control = {id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special}
    template, around = str(tokenizer.chat_template), tokenizer("a").input_ids
    unasked = {id_ for id_ in control - set(around) if beyond.get(id_, "") not in template}
    if spoken := sorted(beyond[id_] for id_ in beyond.keys() - unasked):
        raise AlignlabError(
            f"the tokenizer has {len(spoken)} tokens that the model has no weights for, whose "
            f"embeddings have {rows} rows ({_some(spoken)}); take them out of the tokenizer, or "
            "resize the embeddings as its trainer did"
        )


def read_settings(path: Path) -> dict[str, Any]:
    """A JSON object of a model folder."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise AlignlabError(f"{path.name}: not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise AlignlabError(f"{path.name}: expected a JSON object")
    return content


def edit_settings(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file."""
    _write(path, {**read_settings(path), **changes})


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
