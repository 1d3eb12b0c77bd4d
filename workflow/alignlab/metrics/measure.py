"""Judge-free measures of every answer of an arm.

One row per prompt, turn and metric; `alignlab.metrics.definitions` says what each metric is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.templates import answer_start, is_answer
from alignlab.metrics import style, words
from alignlab.metrics.definitions import METRICS
from alignlab.metrics.refusal import hijacked, is_refusal
from alignlab.planning.artefact import Job, Spec

BATCH = 256
COLUMNS = [
    *("prompt_id", "turn", "raw_text", "thoughts", "text"),
    *("finish_reason", "trimmed", "num_tokens"),
]
# All that is known of a response that ended before its answer began.
ENDED = ("clean_stop", "truncated", "num_tokens")

Value = float | None


class MetricsSpec(Spec):
    """What a metrics table is made of: the answers of an arm."""

    arm: str


class MeasureJob(Job):
    """What `measure` is given.

    Attributes:
        responses: the arm's responses; several samples of a turn are averaged, over those with a
            value. A response that ended in an error has none: a failure is data, not a zero.
        prompts: tables with the prompts that the responses answer, and the targets of attacks.
        embedder: folder of a sentence-transformers model; without one there is no relevance.
        output: the metrics table, one row per prompt, turn and metric.
    """

    spec: MetricsSpec
    responses: Path
    prompts: tuple[Path, ...]
    embedder: Path | None = None


def measure(job: MeasureJob) -> None:
    """Measure every response of an arm and write its metrics table.

    Raises:
        AlignlabError: a response answers a prompt or turn that no prompts table has.
    """
    asked = {row["prompt_id"]: row for path in job.prompts for row in tables.rows("prompts", path)}
    relevance = Relevance(job.embedder) if job.embedder else None
    samples: dict[tuple[str, int], list[dict[str, Value]]] = defaultdict(list)
    for batch in tables.opened("responses", job.responses).iter_batches(BATCH, columns=COLUMNS):
        rows = batch.to_pylist()
        questions = [_question(row, asked, job.responses) for row in rows]
        targets = [asked[row["prompt_id"]]["target"] for row in rows]
        for row, values in zip(rows, _measured(rows, questions, targets, relevance), strict=True):
            samples[row["prompt_id"], row["turn"]].append(values)
    tables.write("metrics", job.output, _averaged(job.spec.arm, samples), job.spec.signed)


def answer_metrics(
    answer: Mapping[str, Any], question: str, target: str | None
) -> dict[str, Value]:
    """Every metric but relevance of one response that is no error, by name."""
    text = answer["text"]
    empty = not text.strip()
    reason = answer["finish_reason"]
    known = reason != "unknown"
    return {
        "clean_stop": float(reason in ("stop", "eos") and not empty) if known else None,
        "truncated": float(reason == "length") if known else None,
        "empty": float(empty),
        "num_words": float(words.count_words(text)),
        "num_tokens": answer["num_tokens"],
        "rep_4": words.repetition(text, 4),
        "distinct_2": words.distinct(text, 2),
        "echo": words.echo(question, text),
        "list_items": float(style.list_items(text)),
        "structured": float(style.is_structured(text)),
        "refusal": float(is_refusal(text)),
        "hijacked": float(hijacked(target, text)) if target else None,
        "opener": float(style.has_opener(text)),
        "closer": float(style.has_closer(text)),
        "runs_on": float(style.runs_on(answer["raw_text"][answer_start(answer) :])),
    }


def _question(row: tables.Row, asked: Mapping[str, tables.Row], path: Path) -> str:
    """The user's message that a response answers."""
    turns = asked[row["prompt_id"]]["turns"] if row["prompt_id"] in asked else []
    if row["turn"] >= len(turns):
        raise AlignlabError(
            f"{path}: prompt {row['prompt_id']!r}, turn {row['turn']}: not in any prompts table"
        )
    return turns[row["turn"]]


def _measured(
    rows: Sequence[tables.Row],
    questions: Sequence[str],
    targets: Sequence[str | None],
    relevance: Relevance | None,
) -> Iterator[dict[str, Value]]:
    """The values of each row, all null where it ended in an error; of thoughts, how they ended."""
    texts = [row["text"] or "" for row in rows]
    cosines = relevance(questions, texts) if relevance else [None] * len(rows)
    names = [name for name in METRICS if relevance or name != "relevance"]
    for row, question, target, cosine in zip(rows, questions, targets, cosines, strict=True):
        if row["finish_reason"] == "error":
            yield dict.fromkeys(names)
        else:
            values = {**answer_metrics(row, question, target), "relevance": cosine}
            told = names if is_answer(row) else ENDED
            yield {name: values[name] if name in told else None for name in names}


def _averaged(
    arm: str, samples: Mapping[tuple[str, int], list[dict[str, Value]]]
) -> Iterator[tables.Row]:
    for (prompt_id, turn), answers in samples.items():
        for metric in answers[0]:
            present = [value for answer in answers if (value := answer[metric]) is not None]
            yield {
                "arm": arm,
                "prompt_id": prompt_id,
                "turn": turn,
                "metric": metric,
                "value": fmean(present) if present else None,
            }


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
                trust_remote_code=False,
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
