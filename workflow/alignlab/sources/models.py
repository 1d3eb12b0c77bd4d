"""Materialises a catalog model as one verified folder of the store.

    snakemake --cores 2 --until fetch_model          # or, in Python: fetch_model(job)

Language models become bf16 safetensors with config, generation config and tokenizer; embedding
models keep their own precision. `alignlab.json` says what the folder was made from.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import model_validator
from safetensors import SafetensorError

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.planning.job import Spec
from alignlab.sources import files, weights
from alignlab.sources.config import TINY_TOKENIZER, RandomConfig, Source
from alignlab.sources.jobs import FetchJob, ModelPlace, where


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
    except AlignlabError as error:
        raise AlignlabError(f"model {job.spec.id}: {error}") from error
    except SafetensorError as error:  # of a write: damaged weights are told apart where read
        raise AlignlabError(f"model {job.spec.id}: cannot be written: {error}") from error


def _materialise(job: FetchModelJob, folder: Path) -> None:
    source = where(job.place, job.spec.source)
    if isinstance(source, RandomConfig):
        weights.from_seed(source.architecture, source.seed, TINY_TOKENIZER, folder)
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix=".source-") as scratch:
        found = files.model_files(source, Path(scratch))
        with _opening(files.title(source)):
            if job.spec.role == "embedder":
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


def _finish(job: FetchModelJob, folder: Path) -> None:
    """Write `alignlab.json`, and give the weights the permissions of every other file."""
    mode = (folder / "config.json").stat().st_mode
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)  # safetensors writes 0600, which a shared store cannot use
    note = {"spec": job.metadata, "versions": tables.versions()}
    (folder / "alignlab.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
