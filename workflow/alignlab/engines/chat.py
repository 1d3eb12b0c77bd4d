"""OpenAI's chat protocol: what is sent, where it goes, what comes back.

    python -m alignlab.engines.chat               # the address and body of a toy request

Only what every endpoint has in common is read of an answer; endpoints differ in the rest.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, HttpUrl, TypeAdapter, ValidationError

from alignlab.engines.budget import Tokens
from alignlab.engines.replies import Reply
from alignlab.errors import AlignlabError

RESPONSE_FORMATS = ("response_format", "json_schema", "json_object")
OURS = ("model", "max_tokens", "temperature")


@dataclass(frozen=True)
class ChatRequest:
    """One conversation to answer; `repeat` tells apart requests that are otherwise the same."""

    messages: list[dict[str, str]]
    max_tokens: int
    temperature: float = 0
    response_format: dict[str, Any] | None = None
    repeat: int = 0

    def body(self, model: str) -> dict[str, Any]:
        """What is sent."""
        form = {"response_format": self.response_format} if self.response_format else {}
        return {
            "model": model,
            "messages": self.messages,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            **form,
        }

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
class Endpoint:
    """Where a model is.

    Attributes:
        model: its name there.
        base_url: address, up to and with `/v1`.
        key: environment variable with the key; null if none is needed.
        concurrency: calls at a time.
        timeout: seconds that a try may take as a whole.
        retries: further tries after 429, 5xx, a time-out or no connection.
    """

    model: str
    base_url: str
    key: str | None
    concurrency: int
    timeout: float
    retries: int

    def secret(self) -> str:
        """The key itself.

        Raises:
            AlignlabError: its variable is not set or holds no key, or the address is no URL.
        """
        try:
            url = TypeAdapter(HttpUrl).validate_python(self.base_url)
        except ValidationError as error:
            why = f"base_url: {self.base_url!r} is no http(s) address"
            raise AlignlabError(f"{self.model}: {why}") from error
        if url.username or url.password:
            raise AlignlabError(f"{self.model}: base_url holds a user or password; name a `key`")
        if self.key is None:
            return "none"
        secret = os.environ.get(self.key, "").strip()
        if not secret or not secret.isascii() or not secret.isprintable():
            raise AlignlabError(
                f"{self.model} at {self.base_url}: environment variable {self.key} is "
                f"{'no key' if secret else 'not set'}; it must hold the key of the endpoint "
                "(say `key: null` if that needs none)"
            )
        return secret

    def hopeless(self, status: int, param: str | None, said: str, form: str | None) -> str | None:
        """Why an error of an endpoint would come back at every other call; null if it need not.

        Args:
            status: HTTP status.
            param: the parameter that the endpoint names, if any.
            said: what it says.
            form: `response_format` that was asked for, if any.
        """
        key = f"the key in {self.key}" if self.key else "a call without a key (`key: null`)"
        why = {
            401: f"{key} is refused",
            402: f"{key} has nothing left to pay with",
            403: f"{key} is refused",
            404: "no such model, or `base_url` lacks its end, such as /v1",
        }.get(status)
        if status in (400, 422) and param in OURS:
            why = f"`{param}` is refused"
        if status in (400, 422) and form and any(w in f"{param} {said}" for w in RESPONSE_FORMATS):
            why = f"`structured: {form}` is refused; try json_object or none"
        return f"{self.model} at {self.base_url}: {why}: {said}" if why else None


class _Usage(BaseModel):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def read(body: str) -> Reply:
    """The reply in the body of an HTTP answer; one that is no chat completion has `failed`."""
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError:
        start = " ".join(body[:200].split())
        return Reply(outcome="failed", error=f"the answer is no chat completion: {start!r}")
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
    print("POST <base_url>/chat/completions", json.dumps(toy.body("<model>"), indent=2), sep="\n")
