"""OpenAI's protocol: what is sent, in chat form or as plain text, and what comes back.

    python -m alignlab.endpoints.protocol               # the address and body of a toy request

Only what every endpoint has in common is read of an answer; endpoints differ in the rest.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, Field, ValidationError

from alignlab.endpoints.endpoint import Endpoint
from alignlab.endpoints.replies import Reply, Tokens


@dataclass(frozen=True, kw_only=True)
class ApiRequest(ABC):
    """What both forms have; `repeat` tells apart requests that are otherwise the same.

    Attributes:
        path: where it goes, after the endpoint's address.
        response_format: JSON that the answer must be; chat form alone knows it.
    """

    path: ClassVar[str]
    max_tokens: int
    temperature: float = 0
    top_p: float | None = None
    seed: int | None = None
    response_format: dict[str, Any] | None = None
    repeat: int = 0

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """What is to be answered, as the form has it."""

    def body(self, model: str) -> dict[str, Any]:
        """What is sent."""
        sent = {
            "model": model,
            **self.content(),
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "response_format": self.response_format,
        }
        return {key: value for key, value in sent.items() if value is not None}

    def known(self, endpoint: Endpoint) -> tuple[str, Tokens]:
        """What it is known by, and what it can use at most.

        Returns:
            32 hex digits of the SHA-256 of what is sent, where to, and `repeat`; and tokens, of
            which every one of the prompt stands for a byte or more of what is sent.
        """
        sent = json.dumps(self.body(endpoint.model), ensure_ascii=False, sort_keys=True).encode()
        origin = f"{self.repeat} {endpoint.base_url} ".encode()
        key = hashlib.sha256(origin + sent).hexdigest()[:32]
        return key, Tokens(len(sent), self.max_tokens)


@dataclass(frozen=True)
class ChatRequest(ApiRequest):
    """A conversation to answer."""

    path: ClassVar[str] = "/chat/completions"
    messages: list[dict[str, str]]

    def content(self) -> dict[str, Any]:
        """The messages."""
        return {"messages": self.messages}


@dataclass(frozen=True)
class CompletionsRequest(ApiRequest):
    """A text to continue, up to any of the strings in `stop`, of which OpenAI takes four."""

    path: ClassVar[str] = "/completions"
    prompt: str
    stop: tuple[str, ...] = ()

    def content(self) -> dict[str, Any]:
        """The text, and where to end."""
        return {"prompt": self.prompt, "stop": list(self.stop) or None}


class _Usage(BaseModel):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _ChatChoice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _TextChoice(BaseModel):
    text: str
    finish_reason: str | None = None

    @property
    def message(self) -> _Message:
        return _Message(content=self.text)


class _Completion(BaseModel):
    choices: list[_ChatChoice | _TextChoice] = Field(min_length=1)
    usage: _Usage | None = None


def read(body: str) -> Reply:
    """The reply in the body of an HTTP answer; one that is no completion has `failed`."""
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError:
        start = " ".join(body[:200].split())
        return Reply(outcome="failed", error=f"the answer is no completion: {start!r}")
    choice, used = completion.choices[0], completion.usage
    return Reply(
        outcome="answered",
        text=choice.message.content,
        refusal=choice.message.refusal,
        finish_reason=choice.finish_reason,
        usage=Tokens(used.prompt_tokens, used.completion_tokens) if used else None,
    )


if __name__ == "__main__":
    toy = ChatRequest([{"role": "user", "content": "What is water?"}], max_tokens=16)
    print(f"POST <base_url>{toy.path}", json.dumps(toy.body("<model>"), indent=2), sep="\n")
