"""Writes a model of the catalog as one verified folder of the store, from any format of weights.

Language models become bf16 safetensors with config, generation config and tokenizer; embedding
models keep their own precision. `alignlab.json` records what the folder was made from.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import gguf
import torch
from pydantic import model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    GgufConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.engines.equality import record
from alignlab.planning.artefact import Spec
from alignlab.sources import files
from alignlab.sources.config import TINY_TOKENIZER, RandomConfig, Source
from alignlab.sources.files import FetchJob, ModelPlace, require_safe_weights, where

INDEX = "model.safetensors.index.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
COPIED = {".json", ".jinja", ".txt", ".model"}
# What may end an answer, by name: GGUF keeps one eos id and drops the list that
# generation_config.json had. Not `</s>`: to gemma that is the HTML tag, not an end.
ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>")


def from_gguf(file: Path, folder: Path) -> None:
    """Unpack a GGUF file into `folder`: bf16 weights, config, generation config, tokenizer."""
    try:
        with _parsed_once():
            config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
            model = _open_gguf(file, config)
            tokenizer = AutoTokenizer.from_pretrained(
                file.parent, gguf_file=file.name, config=config
            )
    except ValueError as error:
        raise AlignlabError(f"{file.name}: transformers cannot open this GGUF: {error}") from error
    model.generation_config = _generation_config(tokenizer, model.config.vocab_size)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def _parsed_once() -> Iterator[None]:
    """Share one reader: transformers parses the file for config, weights and tokenizer apart, and
    a vocabulary of 262,144 takes 20 seconds each time.
    """
    reader = gguf.GGUFReader
    gguf.GGUFReader = cache(reader)
    try:
        yield
    finally:
        gguf.GGUFReader = reader


def _open_gguf(file: Path, config: PreTrainedConfig) -> PreTrainedModel:
    """The model of a GGUF file, unpacked to bf16."""
    # `dequantize`: a model whose weights stay packed refuses to be saved as safetensors.
    return AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        config=config,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )


def from_safetensors(source: Path, folder: Path) -> None:
    """Copy a model folder, floating tensors converted to bf16. Memory: one shard.

    Raises:
        AlignlabError: a file is missing or damaged, the weights are pickled, or the model needs
            code that is not part of transformers.
    """
    require_safe_weights(str(source), (path.name for path in source.iterdir()))
    shards = _shards(source)
    for path in source.iterdir():
        if path.is_file() and path.suffix in COPIED:
            shutil.copyfile(path, folder / path.name)
    size = sum(_convert(source / name, folder / name) for name in shards)
    if (folder / INDEX).exists():
        _edit(folder / INDEX, metadata={"total_size": size})
    _edit(folder / "config.json", dtype="bfloat16", torch_dtype=None)
    if not (folder / "generation_config.json").exists():
        GenerationConfig.from_model_config(_config(folder)).save_pretrained(folder)
    if not (folder / "tokenizer.json").exists():
        _write_fast_tokenizer(source, folder)


def from_seed(
    architecture: dict[str, Any], seed: int, tokenizer_folder: Path, folder: Path
) -> None:
    """Write a model with random bf16 weights and the given tokenizer.

    Raises:
        AlignlabError: the architecture has fewer embeddings than the tokenizer has tokens.
    """
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    config = AutoConfig.for_model(**architecture, **{n: getattr(tokenizer, n) for n in names})
    if config.vocab_size < len(tokenizer):
        raise AlignlabError(
            f"architecture: vocab_size is {config.vocab_size}, expected at least {len(tokenizer)}, "
            "the number of tokens of the tiny tokenizer"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def copy_embedder(source: Path, folder: Path) -> None:
    """Copy a sentence-transformers folder as it is, weights in their own precision.

    Raises:
        AlignlabError: it is none, or its weights are pickled.
    """
    if not (source / "modules.json").is_file():
        raise AlignlabError(f"{source}: modules.json of sentence-transformers is missing")
    require_safe_weights(str(source), (path.name for path in source.iterdir()))
    for path in source.rglob("*"):
        if path.is_file() and path.suffix in {*COPIED, ".safetensors"}:
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _generation_config(tokenizer: PreTrainedTokenizerBase, size: int) -> GenerationConfig:
    vocabulary = tokenizer.get_vocab()
    named = [vocabulary[name] for name in ENDS if name in vocabulary]
    # transformers adds a default `unk` to some GGUF tokenizers, with an id the model does not have.
    ends = {tokenizer.eos_token_id, *(token for token in named if token < size)}
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=sorted(ends),
        pad_token_id=tokenizer.pad_token_id,
    )


def _write_fast_tokenizer(source: Path, folder: Path) -> None:
    """Add the `tokenizer.json` that other rooms read to a folder with an older tokenizer."""
    try:
        AutoTokenizer.from_pretrained(folder, trust_remote_code=False).save_pretrained(folder)
    except (ValueError, ImportError) as error:
        raise AlignlabError(f"{source}: transformers cannot open the tokenizer: {error}") from error
    if not (folder / "tokenizer.json").exists():
        raise AlignlabError(f"{source}: the tokenizer cannot be saved as tokenizer.json")


def _config(folder: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except ValueError as error:
        raise AlignlabError(f"config.json: transformers has no such model: {error}") from error


def _shards(source: Path) -> list[str]:
    names = ["model.safetensors"]
    if (source / INDEX).exists():
        weights = json.loads((source / INDEX).read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(weights.values()))
    if missing := [name for name in (*names, "config.json") if not (source / name).is_file()]:
        raise AlignlabError(f"{source}: the model folder lacks {', '.join(missing)}")
    if not any((source / name).is_file() for name in TOKENIZERS):
        raise AlignlabError(f"{source}: no tokenizer: expected one of {', '.join(TOKENIZERS)}")
    return names


def _convert(shard: Path, target: Path) -> int:
    """Write one shard in bf16; returns the bytes of its tensors."""
    try:
        with safe_open(shard, framework="pt") as file:
            tensors = {name: _bfloat16(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise AlignlabError(f"{shard}: damaged safetensors file: {error}") from error
    save_file(tensors, target, metadata={"format": "pt"})
    return sum(tensor.nbytes for tensor in tensors.values())


def _bfloat16(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor


def _edit(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; a key set to None is removed."""
    content = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    kept = {key: value for key, value in content.items() if changes.get(key, ...) is not None}
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


class ModelSpec(Spec):
    """What a model is, by its entry in the catalog.

    Attributes:
        id: its name there.
        role: a language model, or one that embeds sentences.
        chat_template: Jinja text that replaces the tokenizer's.
        source: where it comes from, if it is no local folder.
        content: digest of a local folder, or of the tokenizer of a random model.
    """

    id: str
    role: Literal["base", "aligned", "embedder"]
    chat_template: str | None = None
    source: Source | None = None
    content: str | None = None


class FetchModelJob(FetchJob):
    """What `fetch_model` is given.

    Attributes:
        output: the model's folder.
    """

    spec: ModelSpec
    place: ModelPlace = ModelPlace()

    @model_validator(mode="after")
    def _lies_somewhere(self) -> FetchModelJob:
        where(self.place, self.spec.source)
        return self


def fetch_model(job: FetchModelJob) -> None:
    """Bring a model into its folder, which appears whole or not at all.

    Raises:
        AlignlabError: the source is out of reach, damaged or unsafe, or the disk is full. The
            message opens with the model's name.
    """
    try:
        with tables.building(job.output) as folder:
            _materialise(job, folder)
            if template := job.spec.chat_template:
                (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
            _finish(job, folder)
            if job.spec.role != "embedder":
                record(folder)
    except AlignlabError as error:
        raise AlignlabError(f"model {job.spec.id}: {error}") from error
    except SafetensorError as error:  # of a write: damaged weights are reported where they are read
        raise AlignlabError(f"model {job.spec.id}: cannot be written: {error}") from error


def _materialise(job: FetchModelJob, folder: Path) -> None:
    source = where(job.place, job.spec.source)
    if isinstance(source, RandomConfig):
        from_seed(source.architecture, source.seed, TINY_TOKENIZER, folder)
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix=".source-") as scratch:
        found = files.model_files(source, Path(scratch))
        with _opening(files.title(source)):
            if job.spec.role == "embedder":
                copy_embedder(found, folder)
            elif gguf := _gguf(found):
                from_gguf(gguf, folder)
            else:
                from_safetensors(found, folder)


@contextmanager
def _opening(source: str) -> Iterator[None]:
    """Name the source that transformers cannot open; transformers raises an OSError."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise AlignlabError(f"{source}: cannot be opened: {error}") from error


def _gguf(found: Path) -> Path | None:
    """The one GGUF file of a source that has no safetensors."""
    if found.is_file():
        return found
    candidates = sorted(found.glob("*.gguf"))
    if any(found.glob("*.safetensors")) or not candidates:
        return None
    if len(candidates) > 1:
        names = ", ".join(path.name for path in candidates)
        raise AlignlabError(f"{found}: several GGUF files ({names}); name one as `path`")
    return candidates[0]


def _finish(job: FetchModelJob, folder: Path) -> None:
    """Write `alignlab.json`, and give the weights the permissions of every other file."""
    mode = (folder / "config.json").stat().st_mode
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)  # safetensors writes 0600, which a shared store cannot use
    note = {"spec": job.metadata, "versions": tables.versions()}
    (folder / "alignlab.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
