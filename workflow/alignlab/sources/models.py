"""Writes a model of the catalog as one verified folder of the store, from any format of weights.

Weights keep the precision that they come in, each tensor its own; whoever loads a model computes
in the experiment's. Every tensor of files and model is accounted for. `alignlab.json` records what
the folder was made from.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import gguf
import torch
from pydantic import model_validator
from safetensors import SafetensorError
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
from transformers.modeling_gguf_pytorch_utils import (
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.engines.equality import record
from alignlab.planning.artefact import Spec
from alignlab.planning.digest import counted
from alignlab.sources import files
from alignlab.sources.config import TINY_TOKENIZER, RandomConfig, Source
from alignlab.sources.files import FetchJob, ModelPlace, where
from alignlab.sources.formats import (
    INDEX,
    WEIGHTS,
    gguf_of,
    require_loadable,
    require_no_pointer,
    require_whole_gguf,
)
from alignlab.sources.weights import (
    account,
    account_embedder,
    copy_shard,
    dtypes,
    edit_settings,
    opening,
    read_settings,
    renamed,
    require_all,
    require_ends,
    require_plain,
    require_tokenizer,
    without_code,
    wrappers_of,
)

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
COPIED = {".json", ".jinja", ".txt", ".model"}
# What may end an answer, by name: GGUF keeps one eos id and drops the list that
# generation_config.json had. Not `</s>`: to gemma that is the HTML tag, not an end.
ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>")


def from_gguf(file: Path, folder: Path) -> None:
    """Unpack a GGUF file into `folder`: weights, config, generation config, tokenizer.

    It is opened where nothing lies beside it: transformers would take settings of the tokenizer
    from other files of its folder, which no digest covers.

    Raises:
        AlignlabError: it is a part or a pointer, or transformers cannot open it or leaves out some
            of it.
    """
    require_whole_gguf(file.name)
    require_no_pointer(file)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".gguf-") as alone:
        link = Path(alone) / file.name
        link.symlink_to(file.resolve())
        _unpack_gguf(link, folder)


def _unpack_gguf(file: Path, folder: Path) -> None:
    """The same of a file with nothing beside it."""
    with opening(file.name), _parsed_once():
        config = AutoConfig.from_pretrained(
            file.parent, gguf_file=file.name, trust_remote_code=False
        )
        model, found = _open_gguf(file, config)
        tokenizer = AutoTokenizer.from_pretrained(
            file.parent, gguf_file=file.name, config=config, trust_remote_code=False
        )
    require_all(found, file.name)
    for weight in model.parameters():
        weight.data = _smallest(weight.data)
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


def _open_gguf(file: Path, config: PreTrainedConfig) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model of a GGUF file, unpacked, and which of the file's tensors have no place in it."""
    # `dequantize`: a model whose weights stay packed refuses to be saved as safetensors.
    model, found = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        config=config,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
        output_loading_info=True,
        trust_remote_code=False,
    )
    reader = gguf.GGUFReader(str(file))  # as transformers asks for it, so that it is parsed once
    architecture = str(reader.fields["general.architecture"].contents())
    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=config.to_dict())
    known = get_gguf_hf_weights_map(model, processor)
    # The output layer, and stacked experts without their suffix, are mapped by the processors.
    found["unexpected_keys"] |= {
        name
        for name in {tensor.name for tensor in reader.tensors} - {"output.weight"}
        if not {name, name.removesuffix(".weight")} & known.keys()
    }
    return model, found


def _smallest(weight: torch.Tensor) -> torch.Tensor:
    """The same numbers in 16 bits where these hold them: what was not packed came from there."""
    for dtype in (torch.bfloat16, torch.float16):
        if torch.equal((small := weight.to(dtype)).float(), weight):
            return small
    return weight


def from_safetensors(source: Path, folder: Path, *, packed: bool = False) -> list[str]:
    """Copy a model folder. Memory: one shard, and that only if its tensors are renamed.

    Args:
        source: with config, tokenizer and weights.
        folder: what is made of it.
        packed: whether the engine that runs it unpacks quantised weights.

    Returns:
        What was taken off the names of its tensors.

    Raises:
        AlignlabError: a file is missing or damaged, the weights are pickled, quantised or not all
            of those that the architecture has, or the model needs code that is not part of
            transformers.
    """
    require_loadable(str(source), (path.name for path in source.iterdir()))
    settings = [path for path in source.iterdir() if path.is_file() and _counts(path)]
    for path in settings:
        require_no_pointer(path)
    shards = _shards(source)
    for path in settings:
        shutil.copyfile(path, folder / path.name)
    for shard in shards:
        require_no_pointer(source / shard)
    without_code(folder)
    config = _config(folder)
    held = {shard: dtypes(source / shard) for shard in shards}
    quantised = require_plain(folder, held, packed)
    wrappers = wrappers_of([name for names in held.values() for name in names])
    for shard in shards:
        copy_shard(source / shard, folder / shard, wrappers)
    if (folder / INDEX).exists():
        places = {renamed(name, wrappers): s for s, names in held.items() for name in names}
        edit_settings(folder / INDEX, weight_map=places)
    if not (folder / "generation_config.json").exists():
        with opening("config.json"):
            GenerationConfig.from_model_config(config).save_pretrained(folder)
    require_ends(folder)
    if not (folder / "tokenizer.json").exists():
        _write_fast_tokenizer(source, folder)
    if not quantised:
        account(folder)
    return wrappers


def _counts(path: Path) -> bool:
    """Whether a file beside the weights is one that transformers or another room reads."""
    return path.suffix in COPIED and not path.name.startswith(".")


def from_seed(
    architecture: dict[str, Any], seed: int, tokenizer_folder: Path, folder: Path
) -> None:
    """Write a model with random bf16 weights and the given tokenizer.

    Raises:
        AlignlabError: the architecture has fewer embeddings than the tokenizer has tokens.
    """
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, trust_remote_code=False)
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    config = AutoConfig.for_model(**architecture, **{n: getattr(tokenizer, n) for n in names})
    if config.vocab_size < len(tokenizer):
        raise AlignlabError(
            f"architecture: vocab_size is {config.vocab_size}, expected at least {len(tokenizer)}, "
            "the number of tokens of the tiny tokenizer"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.bfloat16, trust_remote_code=False
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    without_code(folder)


def copy_embedder(source: Path, folder: Path) -> None:
    """Copy a sentence-transformers folder as it is, weights in their own precision.

    Raises:
        AlignlabError: it is none, its weights are not loaded here or not those of its architecture,
            or a module of it is code.
    """
    if not (source / "modules.json").is_file():
        raise AlignlabError(f"{source}: modules.json of sentence-transformers is missing")
    names = [name for name in counted(source) if name.suffix in {*COPIED, ".safetensors"}]
    require_loadable(str(source), (path.name for path in source.rglob("*")))
    for name in names:
        require_no_pointer(source / name)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, folder / name)
    without_code(folder)
    # A module of another package is downloaded and run, whatever `trust_remote_code` says.
    for module in json.loads((folder / "modules.json").read_text(encoding="utf-8")):
        if not module["type"].startswith("sentence_transformers."):
            raise AlignlabError(
                f"{source}: modules.json: {module['type']} is no part of sentence-transformers; "
                "code that comes with a model is never run"
            )
        if module["type"].endswith(".Transformer"):
            account_embedder(folder / module["path"])


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
    with opening(f"{source}: its tokenizer"):
        AutoTokenizer.from_pretrained(folder, trust_remote_code=False).save_pretrained(folder)
    if not (folder / "tokenizer.json").exists():
        raise AlignlabError(f"{source}: the tokenizer cannot be saved as tokenizer.json")


def _config(folder: Path) -> Any:
    kind = read_settings(folder / "config.json").get("model_type")
    if not kind:  # transformers guesses by the path
        raise AlignlabError("config.json: `model_type` is missing; it names the architecture")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise AlignlabError(f"config.json: transformers has no such model: model_type {kind!r}")
    with opening("config.json"):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def _shards(source: Path) -> list[str]:
    """The files of weights that transformers loads.

    Raises:
        AlignlabError: there are two sets of them, or one, the config or the tokenizer is missing.
    """
    names = _indexed(source) if (source / INDEX).is_file() else [WEIGHTS]
    if WEIGHTS not in names and (source / WEIGHTS).is_file():
        raise AlignlabError(
            f"{source}: {WEIGHTS}, and {INDEX} that names other files: transformers loads the "
            "former alone; remove what is not meant"
        )
    if missing := [name for name in (*names, "config.json") if not (source / name).is_file()]:
        raise AlignlabError(f"{source}: the model folder lacks {', '.join(missing)}")
    own = read_settings(source / "config.json").get("transformers_weights")
    if own not in (None, WEIGHTS, INDEX):
        raise AlignlabError(
            f"config.json: transformers_weights: the weights have a name of their own, {own!r}; "
            f"name the file {WEIGHTS}, and take this key out"
        )
    if not any((source / name).is_file() for name in TOKENIZERS):
        raise AlignlabError(f"{source}: no tokenizer: expected one of {', '.join(TOKENIZERS)}")
    return names


def _indexed(source: Path) -> list[str]:
    """The files that an index names."""
    weights = read_settings(source / INDEX).get("weight_map")
    names = list(weights.values()) if isinstance(weights, dict) else []
    if not names or not all(isinstance(n, str) and PurePosixPath(n).name == n for n in names):
        raise AlignlabError(f"{INDEX}: expected `weight_map` from tensors to files beside it")
    return sorted(set(names))


class ModelSpec(Spec):
    """What a model is, by its entry in the catalog.

    Attributes:
        id: its name there.
        role: a language model, or one that embeds sentences.
        chat_template: Jinja text that replaces the tokenizer's.
        source: where it comes from, if it is no local folder.
        content: digest of a local folder, or of the tokenizer of a random model.
        engine: `vllm` if only that runs it; quantised weights need it.
    """

    id: str
    role: Literal["base", "aligned", "embedder"]
    chat_template: str | None = None
    source: Source | None = None
    content: str | None = None
    engine: Literal["vllm"] | None = None


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
            wrappers = _materialise(job, folder)
            if template := job.spec.chat_template:
                (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
            if job.spec.role != "embedder":
                require_tokenizer(folder)
            _finish(job, folder, wrappers)
            if job.spec.role != "embedder" and job.spec.engine is None:
                record(folder)
    except AlignlabError as error:
        raise AlignlabError(f"model {job.spec.id}: {error}") from error
    except SafetensorError as error:  # of a write: damaged weights are reported where they are read
        raise AlignlabError(f"model {job.spec.id}: cannot be written: {error}") from error


def _materialise(job: FetchModelJob, folder: Path) -> list[str]:
    """Make the folder; returns what was taken off the names of tensors."""
    source = where(job.place, job.spec.source)
    if isinstance(source, RandomConfig):
        from_seed(source.architecture, source.seed, TINY_TOKENIZER, folder)
        return []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".source-") as scratch:
        found = files.model_files(source, Path(scratch))
        if job.spec.role == "embedder":
            copy_embedder(found, folder)
        elif gguf := _gguf(found):
            from_gguf(gguf, folder)
        else:
            return from_safetensors(found, folder, packed=job.spec.engine == "vllm")
    return []


def _gguf(found: Path) -> Path | None:
    """The one GGUF file of a source that has no safetensors."""
    if found.is_file():
        if found.suffix != ".gguf":
            raise AlignlabError(f"{found}: a model is a folder, or a file that ends in .gguf")
        return found
    name = gguf_of(str(found), (path.name for path in found.iterdir()), "path")
    return found / name if name else None


def _finish(job: FetchModelJob, folder: Path, wrappers: list[str]) -> None:
    """Write `alignlab.json`, and give the weights the permissions of every other file."""
    mode = (folder / "config.json").stat().st_mode
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)  # safetensors writes 0600, which a shared store cannot use
    note: dict[str, Any] = {"spec": job.metadata, "versions": tables.versions()}
    if wrappers:
        note["removed_from_names"] = wrappers
    (folder / "alignlab.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
