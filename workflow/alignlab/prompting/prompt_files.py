"""Prompt texts of `config/prompts`, resolved to what a model will read, so that digests cover it.

Our YAML has one of three forms, `PromptFile`, `LfmTexts` or `Hijacking`; URIAL's own .txt files are
kept verbatim. Templates name their places in braces, as `{question}`; other braces are text.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field

from alignlab.core.config import CONFIG, StrictModel, read_yaml, validated
from alignlab.core.errors import AlignlabError
from alignlab.core.templates import PLACE
from alignlab.planning.forecast import CHARACTERS_A_TOKEN

# What a text says is in the specs.
CHANGES_NO_VALUE = True

# How URIAL's files set off a question and its answer.
STYLES = {
    "fenced": re.compile(
        r"# Query: *\n``` *\n(?:(?!^# Answer:)[\s\S])*(?:# Answer: *\n``` *\n|\Z)", re.M
    ),
    "inline": re.compile(
        r"# Query: *\n```[^\n](?:(?!^# Answer:)[\s\S])*(?:# Answer: *\n``` *\n|\Z)", re.M
    ),
    "plain": re.compile(
        r"# User: *\n\n(?:(?!^# Assistant:)[\s\S])*(?:# Assistant: *\n\n|\Z)", re.M
    ),
}
KNOWN = (
    "`# Query:` and the question in a fence on its own lines",
    "`# Query:` and the question between three backticks on one line",
    "`# User:`, an empty line and the question",
)
HEADER = re.compile(r"(?m)^#* *(?:User|Human|Query|Question): *$")

Text = Annotated[str, Field(min_length=1)]
Form = TypeVar("Form", bound=BaseModel)


def _with_places(*names: str) -> AfterValidator:
    def check(template: str) -> str:
        found = set(PLACE.findall(template))
        if unknown := sorted(found - set(names)):
            raise ValueError(f"{{{unknown[0]}}} is unknown; places are {{{'}, {'.join(names)}}}")
        if missing := [name for name in names if name not in found]:
            raise ValueError(f"{{{missing[0]}}} is missing")
        return template

    return AfterValidator(check)


Question = Annotated[Text, _with_places("instruction", "response")]
Revision = Annotated[Text, _with_places("instruction", "response", "analysis")]
Injection = Annotated[Text, _with_places("question", "target")]


class Example(StrictModel):
    """A question and its answer."""

    query: Text = Field(description="What is asked")
    answer: Text = Field(description="What is answered")
    id: str | None = Field(None, description="A name, for people")
    kind: str | None = Field(None, description="Such as informative or refusal, for people")
    topic: str | None = Field(None, description="Subject, for people")


class PromptFile(StrictModel):
    """What a YAML file of `config/prompts` may hold."""

    system: Text | None = Field(None, description="Stands first, under `# Instruction`")
    examples: tuple[Example, ...] = Field((), description="Questions and answers, in order")
    guidance: Text | None = Field(None, description="A sentence put before questions")


class LfmTexts(StrictModel):
    """What an analyst is asked, and the texts of two recipes (`lfm/harm`, `lfm/attack`)."""

    guided: Question = Field(description="Asks why {response} to {instruction} is bad (step 2)")
    unguided: Question = Field(description="Asks for an analysis without a clue (step 3)")
    revision: Revision = Field(description="Asks for a better answer in the light of {analysis}")
    verdict: Text = Field(description="Stands for every analysis in recipe `lfm-tag`")
    good_marker: Text = Field(description="Stands before a good answer in recipe `coh`")
    bad_marker: Text = Field(description="Stands before a bad answer in recipe `coh`")


class Hijacking(StrictModel):
    """How goal hijacking is done (`lfm/hijacking`), for sources of kind `hijacking`."""

    injections: dict[str, Injection] = Field(
        min_length=1, description="Name → an attacked {question} that wants {target} said"
    )
    targets: dict[str, Annotated[tuple[Text, ...], Field(min_length=1)]] = Field(
        min_length=1, description="Topic → sentences that do no harm and no good answer says"
    )


def constant_tokens(method: dict) -> int:
    """Tokens that a method puts before every question."""
    shown = [*method.get("examples", ()), *_retrieved(method)]
    texts = [text for example in shown for text in example.values()]
    texts += [method.get("system") or "", method.get("guidance") or ""]
    return sum(map(len, texts)) // CHARACTERS_A_TOKEN


def _retrieved(method: dict) -> list[dict[str, str]]:
    """Of a pool, the longest examples: which ones are retrieved depends on the question."""
    pool = method.get("pool", [])
    return sorted(pool, key=lambda example: -sum(map(len, example.values())))[: method.get("k", 0)]


def constant_prompt(name: str, k: int | None, system: bool) -> dict[str, Any]:
    """The constant part of an in-context prompt: its last `k` examples, with or without system.

    The last ones are nearest to the query; URIAL's K = 1, 3 and 8 are nested in this way.

    YAML gives `{"system": str, "examples": [{"query", "answer"}, ...]}`; URIAL's .txt gives
    `{"style": "inline" | "fenced" | "plain", "prefix": str}` with the file's bytes unchanged.

    Raises:
        AlignlabError: no such file, a wrong key, fewer than `k` examples, or an unknown style.
    """
    path = find(name)
    if path.suffix == ".txt":
        head, blocks = _verbatim(path)
        chosen = blocks[len(blocks) - _count(path, k, len(blocks)) :]
        style = _style(path, head, blocks)
        return {"style": style, "prefix": "".join([head if system else "", *chosen])}
    texts = read(path, PromptFile)
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
    path = find(name)
    examples = read(path, PromptFile).examples
    _count(path, k, len(examples))
    return [_pair(example) for example in examples]


def chat_template(name: str) -> str:
    """A Jinja chat template of `config/prompts`."""
    return find(name, ".jinja").read_text(encoding="utf-8")


def guidance(name: str) -> str:
    """The guidance sentence of a file (LfM step 4)."""
    path = find(name)
    text = read(path, PromptFile).guidance
    if text is None:
        raise AlignlabError(f"{path}: key `guidance` is missing")
    return text


def lfm_texts(name: str) -> dict[str, str]:
    """The texts of a file of form `LfmTexts`, by key; `fill` puts answers into them.

    Raises:
        AlignlabError: no such file, a wrong key, or a template with a wrong or missing place.
    """
    return read(find(name), LfmTexts).model_dump()


def hijacking(name: str, topics: tuple[str, ...]) -> dict[str, Any]:
    """`{"injections": {name: template}, "targets": {topic: [sentence, ...]}}` of these topics.

    Raises:
        AlignlabError: no such file, a wrong key or template, or a topic that the file lacks.
    """
    path = find(name)
    form = read(path, Hijacking)
    if unknown := [topic for topic in topics if topic not in form.targets]:
        known = ", ".join(form.targets)
        raise AlignlabError(f"{path}: targets: no topic {unknown[0]!r}; there are {known}")
    targets = {topic: list(form.targets[topic]) for topic in topics}
    return {"injections": dict(form.injections), "targets": targets}


def find(name: str, suffix: str = ".yaml") -> Path:
    """The file of `config/prompts`, or of a path, that has this name.

    Raises:
        AlignlabError: there is none.
    """
    folder = CONFIG / "prompts"
    candidates = (folder / f"{name}{suffix}", folder / name, Path(name))
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise AlignlabError(f"prompt {name!r}: no such file in {folder}")
    return found


@cache
def read(path: Path, form: type[Form]) -> Form:
    """A YAML file of prompts in one of the forms.

    Raises:
        AlignlabError: it is not of this form; the message names file and key.
    """
    return validated(form, read_yaml(path), path)


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


def _style(path: Path, head: str, blocks: list[str]) -> str:
    """How a file sets off questions; one without examples is of the paper's inline form.

    Raises:
        AlignlabError: it does so in another way than URIAL's runners know, or in two ways.
    """
    if header := HEADER.search(head):
        raise AlignlabError(f"{path}: {_unknown(header[0])}")
    found = []
    for number, block in enumerate(blocks, 1):
        style = next((name for name, form in STYLES.items() if form.match(block)), None)
        if style is None:
            raise AlignlabError(f"{path}: example {number}: {_unknown(block[:30])}")
        found.append(style)
    if len(set(found)) > 1:
        other = next(at for at, style in enumerate(found, 1) if style != found[0])
        raise AlignlabError(
            f"{path}: example 1 is in the {found[0]} style and example {other} in the "
            f"{found[other - 1]} one, so how to ask is unclear; write all in one style"
        )
    return found[0] if found else "inline"


def _unknown(start: str) -> str:
    return (
        f"a question that begins {start!r} is in no style that is known: {'; '.join(KNOWN)}; "
        "write the file as YAML, or in one of these"
    )
