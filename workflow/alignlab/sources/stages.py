"""Semantic slices of sources: what a digest covers, with contents in place of file names.

alignlab check demo                         # print the artefacts whose digests these give
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alignlab.core.config import dump
from alignlab.core.errors import AlignlabError
from alignlab.planning.digest import file_digest
from alignlab.prompting import prompt_files
from alignlab.sources.config import (
    TINY_TOKENIZER,
    DatasetConfig,
    DataSource,
    HijackingConfig,
    LocalConfig,
    ModelSource,
    RandomConfig,
)


def content(
    source: ModelSource | DataSource, datasets: Mapping[str, DatasetConfig]
) -> dict[str, Any]:
    """What a source is. A local one is its content, wherever it lies; others are pinned.

    Attacks are `source` (kind, attacks, seed), `texts`, and the slice of the `questions`.

    Raises:
        AlignlabError: a local file or a text is missing, or a text is not as it should be.
    """
    if isinstance(source, LocalConfig):
        return {"content": _local_digest(Path(source.path))}
    if isinstance(source, RandomConfig):
        return {"source": dump(source), "content": _local_digest(TINY_TOKENIZER)}
    if isinstance(source, HijackingConfig):
        return {
            "source": dump(source, {"kind", "attacks", "seed"}),
            "texts": prompt_files.hijacking(source.texts, source.topics),
            "questions": _questions(source, datasets),
        }
    return {"source": dump(source)}


def place(
    source: ModelSource | DataSource, datasets: Mapping[str, DatasetConfig]
) -> dict[str, Any]:
    """Where a local source lies, or the questions of an attack; it is not part of a digest."""
    if isinstance(source, HijackingConfig):
        where = place(datasets[source.questions].source, datasets)
        return {"questions": {**_questions(source, datasets), **where}}
    return {"source": dump(source)} if isinstance(source, LocalConfig) else {}


def _questions(source: HijackingConfig, datasets: Mapping[str, DatasetConfig]) -> dict[str, Any]:
    entry = datasets[source.questions]
    described = dump(entry, {"columns", "category"})
    return {"dataset": source.questions, **described, **content(entry.source, datasets)}


def _local_digest(path: Path) -> str:
    if not path.exists():
        raise AlignlabError(f"{path}: no such file or folder")
    return file_digest(path)
