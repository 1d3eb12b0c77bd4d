"""Prompt texts of `config/prompts`, resolved to what a model will read, so that digests cover it.

    alignlab check                              # reads every text that an experiment names

Two forms: our YAML (`system`, `examples`, `guidance`) and URIAL's own .txt files, kept verbatim.
"""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from alignlab.errors import AlignlabError
from alignlab.experiment.load import CONFIG, read_yaml
from alignlab.experiment.strict import Strict

Text = Annotated[str, Field(min_length=1)]


class Example(Strict):
    """A question and its answer."""

    query: Text = Field(description="What is asked")
    answer: Text = Field(description="What is answered")
    id: str | None = Field(None, description="A name, for people")
    kind: str | None = Field(None, description="Such as informative or refusal, for people")
    topic: str | None = Field(None, description="Subject, for people")


class PromptFile(Strict):
    """What a YAML file of `config/prompts` may hold."""

    system: Text | None = Field(None, description="Stands first, under `# Instruction`")
    examples: tuple[Example, ...] = Field((), description="Questions and answers, in order")
    guidance: Text | None = Field(None, description="A sentence put before questions")


def constant_prompt(name: str, k: int | None, system: bool) -> dict[str, Any]:
    """The constant part of an in-context prompt: its last `k` examples, with or without system.

    The last ones are nearest to the query; URIAL's K = 1, 3 and 8 are nested in this way.

    YAML gives `{"system": str, "examples": [{"query", "answer"}, ...]}`; URIAL's .txt gives
    `{"style": "inline" | "fenced" | "plain", "prefix": str}` with the file's bytes unchanged.

    Raises:
        AlignlabError: no such file, a wrong key, or fewer than `k` examples.
    """
    path = _find(name)
    if path.suffix == ".txt":
        head, blocks = _verbatim(path)
        chosen = blocks[len(blocks) - _count(path, k, len(blocks)) :]
        style = _style(blocks[0] if blocks else "")
        return {"style": style, "prefix": "".join([head if system else "", *chosen])}
    texts = _read(path)
    count = len(texts.examples)
    examples = texts.examples[count - _count(path, k, count) :]
    resolved: dict[str, Any] = {"examples": [_pair(example) for example in examples]}
    if system and texts.system:
        resolved["system"] = texts.system
    if not resolved["examples"] and "system" not in resolved:
        raise AlignlabError(f"{path}: k: 0 and no system text leave nothing of this prompt")
    return resolved


def example_pool(name: str, k: int) -> list[dict[str, str]]:
    """The question-answer pairs that retrieval chooses `k` from."""
    path = _find(name)
    examples = _read(path).examples
    _count(path, k, len(examples))
    return [_pair(example) for example in examples]


def training_examples(name: str, take: int | None, seed: int) -> list[dict[str, str]]:
    """Question-answer pairs to tune on: all, or `take` of them drawn with `seed`, in file order."""
    path = _find(name)
    examples = _read(path).examples
    count = _count(path, take, len(examples))
    chosen = sorted(random.Random(seed).sample(range(len(examples)), count))
    return [_pair(examples[number]) for number in chosen]


def chat_template(name: str) -> str:
    """A Jinja chat template of `config/prompts`."""
    return _find(name, ".jinja").read_text(encoding="utf-8")


def guidance(name: str) -> str:
    """The guidance sentence of a file (LfM step 4)."""
    path = _find(name)
    text = _read(path).guidance
    if text is None:
        raise AlignlabError(f"{path}: key `guidance` is missing")
    return text


def _find(name: str, suffix: str = ".yaml") -> Path:
    folder = CONFIG / "prompts"
    candidates = (folder / f"{name}{suffix}", folder / name, Path(name))
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise AlignlabError(f"prompt {name!r}: no such file in {folder}")
    return found


@cache
def _read(path: Path) -> PromptFile:
    try:
        return TypeAdapter(PromptFile).validate_python(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AlignlabError(f"{path}: {where}: {first['msg']}") from error


def _pair(example: Example) -> dict[str, str]:
    return {"query": example.query, "answer": example.answer}


def _count(path: Path, k: int | None, available: int) -> int:
    if k is not None and k > available:
        raise AlignlabError(f"{path}: k: {k} examples wanted, the file has {available}")
    return available if k is None else k


def _verbatim(path: Path) -> tuple[str, list[str]]:
    """Cut a URIAL file before each question header, losing no byte."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise AlignlabError(f"{path}: not UTF-8 at byte {error.start}") from error
    head, *blocks = re.split(r"(?m)^(?=# (?:Query|User):)", text)
    return head, blocks


def _style(block: str) -> str:
    """How a file sets off a question; a file without examples is of the paper's inline form."""
    if block.startswith("# User:"):
        return "plain"
    return "fenced" if block.startswith("# Query:\n```\n") else "inline"
