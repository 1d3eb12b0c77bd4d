"""What stands around a text that a model reads or writes: places in braces, markup of thoughts.

`{question}` in a template is a place to fill; other braces are text. A model that reasons writes
its thoughts before its answer, between tags or in a channel of their own. They are no part of the
answer: vLLM's reasoning parsers and lighteval (#869) leave them out, too.

A model reads what is filled in, so this module counts in digests of code, unlike those that read
templates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

PLACE = re.compile(r"\{(\w+)\}")
TAGS = {
    "<think>": "</think>",  # DeepSeek-R1, Qwen3, QwQ, SmolLM3, ...
    "<thinking>": "</thinking>",
    "<reasoning>": "</reasoning>",
    "<thought>": "</thought>",  # EXAONE Deep
    "<seed:think>": "</seed:think>",  # Seed-OSS
    "◁think▷": "◁/think▷",  # Kimi-VL-Thinking
    "[THINK]": "[/THINK]",  # Magistral
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A Reasoning
    "<|channel>thought": "<channel|>",  # Gemma 4: ai.google.dev/gemma, prompt formatting
}
"""What opens thoughts → what closes them, from the models' chat templates."""
CHANNELS = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>")
"""Of OpenAI's Harmony format (gpt-oss): the answer is in channel `final`, the rest is for nobody
or for a tool."""
MARKUP = frozenset(
    (*TAGS, *TAGS.values(), *CHANNELS, "<|channel>", "<|START_RESPONSE|>", "<|END_RESPONSE|>")
)
"""Tokens that say where thoughts are, though most tokenizers call some of them special."""
ONLY_THOUGHTS = "only_thoughts"
"""Why a response has no text: it ended before its answer began."""

_HEAD = r"(?:<\|start\|>assistant)?<\|channel\|>"
_OPENED = "|".join(map(re.escape, TAGS))
OPENING = re.compile(
    rf"\s*(?:({_OPENED})|{_HEAD}(?:analysis|commentary)[^\n]*?(?:<\|message\|>|\Z))"
)
CHANNEL_END = r"<\|end\|>|<\|call\|>|(?=<\|start\|>|<\|channel\|>)"
# Harmony and Command A mark the answer itself, too; a head that was cut off is no answer.
ANSWER = re.compile(
    rf"\s*(?:{_HEAD}final[^\n]*?<\|message\|>|<\|START_RESPONSE\|>"
    rf"|<\|start\|>(?:assistant)?\Z|{_HEAD}\w*\Z)(.*?)"
    r"(?:<\|return\|>|<\|end\|>|<\|END_RESPONSE\|>)?\s*\Z",
    re.DOTALL,
)
LONE_CLOSING = re.compile(rf"({'|'.join(map(re.escape, TAGS.values()))})[ \t]*(?=\n|\Z)")


class Spoken(NamedTuple):
    """A model's text in its two parts.

    Attributes:
        thoughts: without their markup; null if there are none.
        answer: what follows them, as it came.
        unfinished: the thoughts have no end.
    """

    thoughts: str | None = None
    answer: str = ""
    unfinished: bool = False

    @property
    def only_thoughts(self) -> bool:
        """It ended before an answer began, so it is none, not even an empty one."""
        return self.unfinished or bool(self.thoughts and not self.answer.strip())


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with a text at every place; braces inside those texts mean nothing."""
    return PLACE.sub(lambda place: values[place[1]], template)


def spoken(raw: str, prompt: str | None = None) -> Spoken:
    """Part a model's text into its thoughts, which stand at its very start, and its answer.

    Args:
        raw: what the model wrote.
        prompt: the text that it continued, which may have opened its thoughts (DeepSeek-R1); if
            nobody knows it, a closing tag at the end of a line, which nothing opened, says so.
    """
    closing = _lone_closing(raw) if prompt is None else _left_open(prompt)
    thoughts, left = [], raw
    while (begun := OPENING.match(left)) or closing:
        if begun:
            closing, left = _closing(begun), left[begun.end() :]
        end = re.search(closing, left)
        thoughts.append((left[: end.start()] if end else left).strip())
        if not end:
            return Spoken(_joined(thoughts), unfinished=True)
        closing, left = "", left[end.end() :]
    marked = ANSWER.match(left)
    return Spoken(_joined(thoughts), marked[1] if marked else left)


def is_answer(response: Mapping[str, Any]) -> bool:
    """Whether a row of responses holds an answer, if an empty one; thoughts alone are none."""
    return response["finish_reason"] != "error" and response["trimmed"] != ONLY_THOUGHTS


def answer_start(response: Mapping[str, Any]) -> int:
    """Offset in the raw text of a row of responses where its answer begins; 0 without thoughts.

    Special tokens around thoughts are not in the raw text, and thoughts that an endpoint gave apart
    are not there at all. Unless a stop string cut the answer, nothing but its end follows it.
    """
    raw, text = response["raw_text"], response["text"]
    if response["thoughts"] is None and response["trimmed"] != "thoughts":
        return 0
    if response["finish_reason"] != "stop":
        return max(raw.rfind(text), 0)
    behind = _behind(response["thoughts"] or "", raw)
    found = raw.find(text, max(behind, len(raw) - len(spoken(raw).answer)))
    return found if found >= 0 else max(raw.find(text), 0)


def _behind(thoughts: str, raw: str) -> int:
    """Offset behind the paragraphs of thoughts, as far as they stand in a raw text in order."""
    end = 0
    for paragraph in thoughts.split("\n\n"):
        at = raw.find(paragraph, end)
        end = at + len(paragraph) if at >= 0 else end
    return end


def _left_open(prompt: str) -> str:
    """The pattern that closes thoughts which are open where a prompt ends, or ""."""
    end = prompt[-100:].rstrip()
    last = next((found for found in OPENING.finditer(end) if found.end() == len(end)), None)
    return _closing(last) if last else ""


def _closing(opening: re.Match[str]) -> str:
    return re.escape(TAGS[opening[1]]) if opening[1] else CHANNEL_END


def _lone_closing(raw: str) -> str:
    """The pattern of a tag that closes what the prompt opened, or ""; code may quote one."""
    found = LONE_CLOSING.search(raw)
    if not found:
        return ""
    before = raw[: found.start()]
    opening = next(tag for tag, closing in TAGS.items() if closing == found[1])
    quoted = before.count("```") % 2 or before.endswith("`") or opening in before
    return "" if quoted else rf"{re.escape(found[1])}(?=[ \t]*(?:\n|\Z))"


def _joined(thoughts: list[str]) -> str | None:
    return "\n\n".join(filter(None, thoughts)) or ("" if thoughts else None)
