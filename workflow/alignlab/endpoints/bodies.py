"""What stands in the body of an HTTP answer: the text of a model, how it ended, or an error."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from alignlab.core.config import StrictModel


@dataclass(frozen=True)
class Tokens:
    """What was sent and what was answered, in tokens; exact, so that sums never drift."""

    prompt: int = 0
    completion: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.prompt + other.prompt, self.completion + other.completion)

    def __sub__(self, other: Tokens) -> Tokens:
        return Tokens(self.prompt - other.prompt, self.completion - other.completion)


Ending = Literal["stop", "length", "content_filter", "tool_calls", "failed"]

SAID: dict[Ending, str] = {
    "stop": (
        "stop end_turn eos eos_token stop_sequence stop_str stop_word complete completed normal "
        "endoftext end_of_text"
    ),
    "length": (
        "length max_tokens max_new_tokens max_output_tokens max_length model_length length_limit "
        "token_limit context_length context_length_exceeded model_context_window_exceeded"
    ),
    "content_filter": (
        "content_filter content_policy_violation content_filtered refusal safety image_safety "
        "recitation image_recitation blocklist prohibited_content image_prohibited_content spii "
        "sensitive guardrail_intervened model_armor error_toxic"
    ),
    "tool_calls": (
        "tool_calls tool_call tool_use function_call function_call_filter malformed_tool_use "
        "malformed_function_call unexpected_tool_call too_many_tool_calls"
    ),
    "failed": (
        "error abort aborted cancelled canceled user_cancel user_cancelled timeout time_limit "
        "network_error server_error internal_error error_limit rate_limit overloaded "
        "engine_overloaded insufficient_system_resource preempted not_finished "
        "malformed_model_output malformed_response failed"
    ),
}
"""How servers say that an answer ended: OpenAI, Azure, vLLM, SGLang, TGI, llama-server, Ollama,
OpenRouter, DeepSeek, Mistral, Together, Anthropic, Bedrock, Cohere, AI21, watsonx, Zhipu, Baidu and
Gemini."""
ENDINGS = {word: ending for ending, words in SAID.items() for word in words.split()}
UNSEEN = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
"""What a page has beside its words."""
HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|[\s-]+")


class Reply(StrictModel):
    """What came of a request.

    Attributes:
        outcome: `answered` by the model, if only with a refusal; `failed` after the last try;
            `skipped` because the budget had no room for it.
        text: the answer.
        thoughts: what the model wrote before it, where the endpoint gives that apart.
        refusal: what the endpoint gave in its place.
        finish_reason: as the endpoint said it: `stop`, `length`, `SAFETY`, ...; see `ending`.
        error: what went wrong, unless `answered`.
        usage: tokens to pay for; null if unknown.
        seconds: from the first try to the end of the last.
    """

    outcome: Literal["answered", "failed", "skipped"]
    text: str | None = None
    thoughts: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    error: str | None = None
    usage: Tokens | None = None
    seconds: float = 0

    @property
    def ending(self) -> Ending | None:
        """What `finish_reason` means, whoever said it; null if it is not known or not said.

        Gemini adds to it, as in `content_filter: RECITATION`; others spell it `maxTokens`.
        """
        word = (self.finish_reason or "").partition(":")[0].strip()
        return ENDINGS.get(HUMP.sub("_", word).casefold())


PARTS = {
    **{
        "text": ("text", "text"),
        "output_text": ("text", "text"),
        "refusal": ("refusal", "refusal"),
    },
    **{"thinking": ("thoughts", "thinking"), "redacted_thinking": ("thoughts", "thinking")},
    "reasoning": ("thoughts", "text"),
}
"""Type of a part of a message → what it is a part of, and under which key its text stands."""


class _Usage(BaseModel):
    prompt_tokens: int = Field(ge=0, lt=2**31)
    completion_tokens: int = Field(ge=0, lt=2**31)


def read(body: str) -> Reply:
    """The reply in the body of an HTTP answer; one that is no completion has `failed`.

    What says nothing of the answer is read as far as it goes: a usage that is none is unknown.
    """
    try:
        whole = json.loads(body)
        choice = whole["choices"][0]
        if whole.get("error"):
            raise TypeError("an error beside its choices")
        text, thoughts, refusal = _message(choice)
        told = choice.get("finish_reason")
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return Reply(outcome="failed", error=_whole(f"the answer is no completion: {words(body)}"))
    reply = Reply(
        outcome="answered",
        text=text,
        thoughts=thoughts,
        refusal=refusal,
        finish_reason=_whole(told) if isinstance(told, str) else None,
        usage=_usage(whole.get("usage")),
    )
    if reply.ending != "failed":
        return reply
    why = f"finish_reason {reply.finish_reason}: {words(choice.get('error') or body)}"
    return reply.model_copy(update={"outcome": "failed", "error": _whole(why)})


def words(said: Any) -> str:
    """What an endpoint says of an error: its message if it has one, or all that it sent.

    Args:
        said: a body as text, or a part of one as JSON holds it.
    """
    if isinstance(said, str):
        said = said.removeprefix("\ufeff")
        said = UNSEEN.sub(" ", said) if said.lstrip().startswith("<") else said
        with suppress(ValueError, RecursionError):
            said = json.loads(said)
    inner = said[0] if isinstance(said, list) and said else said
    if isinstance(inner, dict):
        inner = inner.get("error") or inner
    if isinstance(inner, dict) and isinstance(inner.get("message"), str) and inner["message"]:
        meta = inner.get("metadata")
        raw = meta.get("raw") if isinstance(meta, dict) else None
        return f"{inner['message']} ({raw})" if raw else str(inner["message"])
    return inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)


def _usage(told: Any) -> Tokens | None:
    try:
        used = _Usage.model_validate(told)
    except ValidationError:
        return None
    return Tokens(used.prompt_tokens, used.completion_tokens)


def _message(choice: Any) -> tuple[str | None, str | None, str | None]:
    """Text, thoughts and refusal of a choice, in either form.

    Raises:
        AttributeError, LookupError, TypeError: a part of it is of no known type.
    """
    message = choice.get("message") or {"content": choice.get("text")}
    text, thoughts, refusal = _parts(message.get("content"))
    details = message.get("reasoning_details")
    listed = details if isinstance(details, list) else []
    spelled = [each for each in listed if isinstance(each, dict)]
    apart = [
        message.get("reasoning_content"),
        message.get("reasoning"),
        "".join(str(each.get("text") or each.get("summary") or "") for each in spelled),
    ]
    thoughts = thoughts or next((t for t in apart if isinstance(t, str) and t), None)
    told = message.get("refusal")
    refusal = refusal or (told if isinstance(told, str) else None)
    return _whole(text), _whole(thoughts), _whole(refusal)


def _parts(content: Any) -> tuple[str | None, str | None, str | None]:
    """Text, thoughts and refusal of a message's content, which may come in parts.

    Parts of other kinds, such as references, are no text, and are left out beside one.

    Raises:
        LookupError, TypeError: there is no part of a known type, or one without its text.
    """
    if content is None or isinstance(content, str):
        return content, None, None
    found: dict[str, str | None] = {}
    listed = content if isinstance(content, list) else [content]
    for part in listed:
        told = {"text": part} if isinstance(part, str) else part
        kind, key = PARTS.get(told.get("type", "text"), (None, ""))
        if kind is None:
            continue
        said = told.get(key) if kind == "thoughts" else told[key]
        said = said if said is None or isinstance(said, str) else _parts(said)[0]
        before = found.get(kind)
        found[kind] = before if said is None else (before or "") + said
    if listed and not found:
        raise LookupError("no part of a known type")
    return found.get("text"), found.get("thoughts"), found.get("refusal")


def _whole(text: str | None) -> str | None:
    """JSON can spell half a letter, which no file can hold; U+FFFD stands for it, as elsewhere."""
    return text and text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
