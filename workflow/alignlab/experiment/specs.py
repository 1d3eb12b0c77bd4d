"""Semantic slices of config models: what a digest covers, with texts in place of file names.

alignlab check demo                         # print the artefacts whose digests these give
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alignlab.errors import AlignlabError
from alignlab.experiment import texts
from alignlab.experiment.catalog import Catalog
from alignlab.experiment.digest import config_digest, file_digest
from alignlab.experiment.methods import InContext, Method, Retrieval
from alignlab.experiment.source_entries import (
    DataSource,
    HijackingSource,
    LocalSource,
    ModelSource,
    RandomSource,
)
from alignlab.experiment.strict import written_out
from alignlab.experiment.units import code_of
from alignlab.experiment.yaml_files import CONFIG

TINY_TOKENIZER = CONFIG / "catalog" / "tiny-tokenizer"


def resolved_method(method: Method) -> dict[str, Any]:
    """A method with its texts in place of file names, so that a digest covers what is read."""
    resolved = dump(method)
    if isinstance(method, InContext):
        for key in ("prompt", "k", "system"):
            resolved.pop(key, None)
        resolved |= texts.constant_prompt(method.prompt, method.k, method.system)
    if isinstance(method, Retrieval):
        resolved["pool"] = texts.example_pool(method.pool, method.k)
    if method.guidance:
        resolved["guidance"] = texts.guidance(method.guidance)
    if method.hindsight:
        markers = texts.lfm_texts(method.hindsight)
        resolved["hindsight"] = {key: markers[f"{key}_marker"] for key in ("good", "bad")}
    return resolved


def dump(model: Any, include: set[str] | None = None) -> dict[str, Any]:
    """JSON of a config model, as digests cover it; see `written_out`."""
    return written_out(model, include)


def coded(spec: dict[str, Any], *units: str) -> dict[str, Any]:
    """A slice with the versions of the code that turns it into an artefact."""
    return {**spec, "code": code_of(*units)}


def signed(spec: dict[str, Any]) -> dict[str, Any]:
    """A slice with its digest, as table metadata and Snakemake's params get it."""
    return {**spec, "digest": config_digest(spec)}


def content(source: ModelSource | DataSource, catalog: Catalog) -> dict[str, Any]:
    """What a source is. A local one is its content, wherever it lies; others are pinned.

    Attacks are `source` (kind, attacks, seed), `texts`, and the slice of the `questions`.

    Raises:
        AlignlabError: a local file or a text is missing, or a text is not as it should be.
    """
    if isinstance(source, LocalSource):
        return {"content": _local_digest(Path(source.path))}
    if isinstance(source, RandomSource):
        return {"source": dump(source), "content": _local_digest(TINY_TOKENIZER)}
    if isinstance(source, HijackingSource):
        return {
            "source": dump(source, {"kind", "attacks", "seed"}),
            "texts": texts.hijacking(source.texts, source.topics),
            "questions": _questions(source, catalog),
        }
    return {"source": dump(source)}


def place(source: ModelSource | DataSource, catalog: Catalog) -> dict[str, Any]:
    """Where a local source lies, or the questions of an attack; it is not part of a digest."""
    if isinstance(source, HijackingSource):
        where = place(catalog.datasets[source.questions].source, catalog)
        return {"questions": {**_questions(source, catalog), **where}}
    return {"source": dump(source)} if isinstance(source, LocalSource) else {}


def _questions(source: HijackingSource, catalog: Catalog) -> dict[str, Any]:
    entry = catalog.datasets[source.questions]
    described = dump(entry, {"columns", "category"})
    return {"dataset": source.questions, **described, **content(entry.source, catalog)}


def _local_digest(path: Path) -> str:
    if not path.exists():
        raise AlignlabError(f"{path}: no such file or folder")
    return file_digest(path)
