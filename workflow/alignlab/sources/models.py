"""Materialises a catalog model as one verified folder of the store.

    snakemake --cores 2 --until fetch_model          # or, in Python: fetch_model(spec, output)

Language models become bf16 safetensors with config, generation config and tokenizer; embedding
models keep their own precision. `alignlab.json` says what the folder was made from.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.sources import files, weights
from alignlab.sources.config import TINY_TOKENIZER, RandomConfig


def fetch_model(spec: dict[str, Any], output: Path) -> None:
    """Bring a model into the folder `output`; it appears whole or not at all.

    `spec`: `id`, `role`, `source`, optionally `chat_template`, and `digest`; see
    `alignlab.experiment.plan`.

    Raises:
        AlignlabError: the source is out of reach, damaged or unsafe, or the disk is full. The
            message opens with the model's name.
    """
    try:
        with tables.building(output) as folder:
            _materialise(spec, folder)
            if spec.get("chat_template"):
                (folder / "chat_template.jinja").write_text(spec["chat_template"], encoding="utf-8")
            _finish(spec, folder)
    except AlignlabError as error:
        raise AlignlabError(f"model {spec['id']}: {error}") from error
    except SafetensorError as error:  # of a write: damaged weights are told apart where read
        raise AlignlabError(f"model {spec['id']}: cannot be written: {error}") from error


def _materialise(spec: dict[str, Any], folder: Path) -> None:
    source = files.parse(spec["source"])
    if isinstance(source, RandomConfig):
        weights.from_seed(source.architecture, source.seed, TINY_TOKENIZER, folder)
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix=".source-") as scratch:
        found = files.model_files(source, Path(scratch))
        with _opening(files.title(source)):
            if spec["role"] == "embedder":
                weights.copy_embedder(found, folder)
            elif gguf := _gguf(found):
                weights.from_gguf(gguf, folder)
            else:
                weights.from_safetensors(found, folder)


@contextmanager
def _opening(source: str) -> Iterator[None]:
    """Name the source that transformers cannot open; it says so with an OSError of its own."""
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


def _finish(spec: dict[str, Any], folder: Path) -> None:
    """Write `alignlab.json`, and give the weights the permissions of every other file."""
    mode = (folder / "config.json").stat().st_mode
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)  # safetensors writes 0600, which a shared store cannot use
    note = {"spec": spec, "versions": tables.versions()}
    (folder / "alignlab.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
