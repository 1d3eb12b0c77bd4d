"""Retrieval ICL: the k pool examples nearest to the question, the nearest last (URIAL §4.1).

The paper used MPNet over 800k pairs that were never released; here any sentence-transformers
model of the catalog over any pool of `config/prompts`, indexed exactly (inner product) by FAISS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
from sentence_transformers import SentenceTransformer

from alignlab.prompting.encode import Stopping, guided
from alignlab.prompting.frame import FENCED


@dataclass(frozen=True)
class RetrievalPrompter:
    """Puts the nearest examples before each question; a conversation keeps its first turn's."""

    pool: list[dict[str, str]]
    k: int
    embedder: SentenceTransformer
    index: faiss.IndexFlatIP
    guidance: str | None = None
    templated: bool = False
    stopping: Stopping = FENCED.stopping

    def render(self, turns: Sequence[str], answers: Sequence[str]) -> str:
        """Examples from least to most similar, then the conversation."""
        blocks = [FENCED.block(e["query"], e["answer"]) for e in self.nearest(turns[0])]
        prefix = "".join(blocks).removeprefix("\n")
        return FENCED.conversation(prefix, guided(turns, self.guidance), answers)

    def nearest(self, query: str) -> list[dict[str, str]]:
        """The k examples with the highest cosine similarity, ascending."""
        _, found = self.index.search(_embed(self.embedder, [query]), self.k)
        return [self.pool[i] for i in reversed(found[0])]


def prompter(method: dict[str, Any], embedder: Path) -> RetrievalPrompter:
    """From a resolved method with its `pool`, and the folder of the embedding model."""
    model = SentenceTransformer(
        str(embedder), device="cpu", local_files_only=True, trust_remote_code=False
    )
    vectors = _embed(model, [example["query"] for example in method["pool"]])
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return RetrievalPrompter(method["pool"], method["k"], model, index, method.get("guidance"))


def _embed(model: SentenceTransformer, texts: list[str]) -> Any:
    return model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
