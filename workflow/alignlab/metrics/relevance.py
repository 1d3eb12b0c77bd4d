"""Relevance: cosine of the sentence embeddings of a question and its answer.

Used by `alignlab.metrics.measure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alignlab.core.errors import AlignlabError


class Relevance:
    """An embedder from a local folder, never a hub; on the CPU, so that values do not move.

    Raises:
        AlignlabError: the folder holds no sentence-transformers model with safetensors weights.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise AlignlabError(f"{folder}: no such folder; expected a sentence-transformers model")
        # The import takes ten seconds; an experiment without this metric need not wait for it.
        from sentence_transformers import SentenceTransformer

        try:
            self._model = SentenceTransformer(
                str(folder),
                device="cpu",
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )
        except (OSError, ValueError) as error:
            raise AlignlabError(f"{folder}: no sentence-transformers model: {error}") from error

    def __call__(self, questions: Sequence[str], answers: Sequence[str]) -> list[float]:
        """Cosines in [-1, 1], one a pair (Reimers and Gurevych 2019, §3).

        A text longer than the embedder's window (256 tokens for MiniLM) counts up to there. An
        empty answer has 0: it says nothing relevant.
        """
        embeddings = self._model.encode(
            [*questions, *answers], normalize_embeddings=True, show_progress_bar=False
        )
        asked, said = embeddings[: len(questions)], embeddings[len(questions) :]
        cosines = (asked * said).sum(axis=1).clip(-1, 1)
        return [
            float(cosine) if answer.strip() else 0.0
            for cosine, answer in zip(cosines, answers, strict=True)
        ]
