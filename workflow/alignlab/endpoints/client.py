"""The client of an endpoint that speaks OpenAI's protocol: its requests, and a store of replies.

The openai library retries, with the waits that the endpoint asks for. This module adds what a paid
run needs: no reply is paid for twice, a limit in dollars, and memory that does not grow with the
number of requests.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from time import perf_counter
from typing import Any, ClassVar

import httpx2
import openai
from anyio.from_thread import BlockingPortal, start_blocking_portal
from pydantic import BaseModel, Field, ValidationError

from alignlab.core.errors import AlignlabError
from alignlab.endpoints.replies import Endpoint, Replies, Reply, Tokens, Worth

log = logging.getLogger(__name__)
# So many calls in a row without any answer, each after its retries, and the endpoint is gone.
GONE = 32
FILTERED = (
    *("content_filter", "content_policy_violation", "data_inspection_failed"),
    *("invalid_prompt", "ResponsibleAIPolicyViolation"),
)
PARTS = {"text": "text", "output_text": "text", "thinking": "thinking", "refusal": "refusal"}
NEW_NAME = "max_completion_tokens"
CONNECTING = (httpx2.ConnectError, httpx2.ConnectTimeout)
TRIES: ContextVar[_Tries] = ContextVar("TRIES")


@dataclass(frozen=True, kw_only=True)
class ApiRequest(ABC):
    """What both forms have; `repeat` distinguishes requests that are otherwise the same.

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
        """What the model shall answer, in this form."""

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
        return Reply(outcome="failed", error=f"the answer is no completion: {words(body)}")
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
    return reply.model_copy(update={"outcome": "failed", "error": why})


def words(said: Any) -> str:
    """What an endpoint says of an error: its message if it has one, or all that it sent.

    Args:
        said: a body as text, or a part of one as JSON holds it.
    """
    if isinstance(said, str):
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
        TypeError: a part of it is of a kind that is not known.
    """
    message = choice.get("message") or {"content": choice.get("text")}
    text, thoughts, refusal = _parts(message.get("content"))
    details = message.get("reasoning_details")
    spelled = [each for each in details or () if isinstance(each, dict)]
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
    """Text, thoughts and refusal of a message's content, which may come in parts."""
    if content is None or isinstance(content, str):
        return content, None, None
    found: dict[str, str | None] = dict.fromkeys(("text", "thinking", "refusal"))
    for part in content if isinstance(content, list) else [content]:
        kind = "text" if isinstance(part, str) else PARTS[part["type"]]
        said = part if isinstance(part, str) else part[part["type"].removeprefix("output_")]
        said = said if isinstance(said, str) else _parts(said)[0]
        found[kind] = (found[kind] or "") + (said or "")
    return found["text"], found["thinking"], found["refusal"]


def _whole(text: str | None) -> str | None:
    """JSON can spell half a letter, which no file can hold; U+FFFD stands for it, as elsewhere."""
    return text and text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


WorthOf = Callable[[ApiRequest, Reply], float]


class ChatApi:
    """An endpoint and the file of its replies.

    Attributes:
        limit: calls that may be under way now.
    """

    def __init__(self, endpoint: Endpoint, replies: Replies) -> None:
        """Check what can be checked without a call.

        Raises:
            AlignlabError: the variable with the key is not set, or the address is no URL.
        """
        self.endpoint, self.replies = endpoint, replies
        self.limit = 1
        self._secret = endpoint.secret()
        self._heard = self._answered = self._renamed = self._heated = False
        self._silent = 0

    def ask(self, requests: Iterable[ApiRequest], worth: WorthOf) -> Iterator[tuple[int, Reply]]:
        """Answer requests; yields (index, reply) as they arrive, stored ones without a call.

        Every request is yielded exactly once: a failure is a reply too. The very first
        call goes alone, so that a wrong address, key or model costs one call.

        Args:
            requests: taken one by one as there is room, so they may come from a generator.
            worth: how much of what a request asked for is in a reply; one worth less than 1 is
                asked for again, and the better of the old and the new one counts.

        Raises:
            AlignlabError: the endpoint cannot be reached, or refuses the key, the model or a
                parameter; or another process writes to the same file.
        """
        with self.replies.opened(), start_blocking_portal() as portal:
            calls = _Calls(self, portal, worth)
            try:
                for index, request in enumerate(requests):
                    yield from calls.make(index, request)
                while calls.flying:
                    yield calls.land()
            finally:
                calls.end()

    def client(self) -> openai.AsyncOpenAI:
        """A client of the openai library whose every try is watched."""
        seconds = self.endpoint.timeout
        timeout = openai.Timeout(seconds, connect=min(seconds, 10))
        return openai.AsyncOpenAI(
            api_key=self._secret,
            base_url=self.endpoint.base_url,
            max_retries=self.endpoint.retries,
            timeout=timeout,
            http_client=_Watched(timeout=timeout),
        )

    async def call(
        self, client: openai.AsyncOpenAI, request: ApiRequest, key: str, most: Tokens
    ) -> Reply:
        """Make a call that `Replies.ask` let through, and store what comes of it.

        Raises:
            AlignlabError: every other call would fail in the same way.
        """
        tries = _Tries(self, key, most)
        TRIES.set(tries)
        fatal = None
        started = perf_counter()
        try:
            reply = read(await self._post(client, request))
        except openai.OpenAIError as error:
            reply = self._failed(error, tries)
            fatal = self._fatal(error, request)
        reply = self._masked(reply).model_copy(update={"seconds": perf_counter() - started})
        self._answered |= reply.outcome == "answered"
        self.replies.add(key, most, reply)
        if fatal:
            raise AlignlabError(fatal)
        self.limit = self.endpoint.concurrency
        return reply

    async def _post(self, client: openai.AsyncOpenAI, request: ApiRequest) -> str:
        """The body of the answer.

        OpenAI's reasoning models know `max_tokens` by another name, and no temperature but theirs.
        """
        body = request.body(self.endpoint.model)
        if self._renamed:
            body[NEW_NAME] = body.pop("max_tokens")
        if self._heated:
            body.pop("temperature", None)
        try:
            # The library's own `create` would take a third of the time to check the body again.
            answer = await client.post(request.path, cast_to=httpx2.Response, body=body)
        except openai.BadRequestError as error:
            if not self._renamed and NEW_NAME in str(error):
                self._renamed = True
            elif not self._heated and error.param == "temperature" and not request.temperature:
                log.warning("%s takes no temperature: it answers at its own", self.endpoint.model)
                self._heated = True
            else:
                raise
            return await self._post(client, request)
        return answer.text

    def heard(self) -> None:
        """Note that the endpoint answered, whatever it said."""
        self._heard, self._silent = True, 0

    def _failed(self, error: openai.OpenAIError, tries: _Tries) -> Reply:
        """The reply that stands for an error; a try without an answer may have been billed."""
        said, usage = self._said(error), None if tries.unanswered else Tokens()
        if isinstance(error, openai.APIError) and error.code in FILTERED:
            # What it says is the endpoint's and no text of the model.
            filtered = FILTERED[0]
            return Reply(outcome="answered", refusal=said, finish_reason=filtered, usage=usage)
        return Reply(outcome="failed", error=said, usage=usage)

    def _fatal(self, error: openai.OpenAIError, request: ApiRequest) -> str | None:
        """Why going on would be in vain, or null."""
        said = self._said(error)
        if isinstance(error, openai.APIStatusError) and error.code not in FILTERED:
            form = (request.response_format or {}).get("type")
            # OpenAI says with the status for "too fast" that there is no money left.
            status = 402 if error.code == "insufficient_quota" else error.status_code
            if self._answered and status in (400, 403, 422):
                return None  # it is about this one request
            return self.endpoint.hopeless(status, error.param, said, form)
        if isinstance(error, openai.APIConnectionError):
            self._silent += 1
            never = isinstance(error.__cause__, CONNECTING) and not self._heard
            if never or self._silent >= GONE:
                model, base_url = self.endpoint.model, self.endpoint.base_url
                return f"{model}: base_url {base_url} cannot be reached: {said}"
        return None

    def _masked(self, reply: Reply) -> Reply:
        """Without the key, which an endpoint might repeat."""
        if not self.endpoint.key:
            return reply
        said = {name: getattr(reply, name) for name in ("text", "refusal", "error")}
        hidden = {name: text.replace(self._secret, "***") for name, text in said.items() if text}
        return reply.model_copy(update=hidden)

    def _said(self, error: openai.OpenAIError) -> str:
        """One line about an error, without the key, which an endpoint might repeat."""
        text = " ".join(str(error).split())
        if cause := error.__cause__:
            text += f" ({type(cause).__name__}: {cause})"
        if self.endpoint.key:
            text = text.replace(self._secret, "***")
        # JSON can spell half a letter, which no file can hold.
        return text.encode(errors="replace").decode()[:500]


class _Calls:
    """The calls of one `ask`: those under way, and those that have ended."""

    def __init__(self, api: ChatApi, portal: BlockingPortal, worth: WorthOf) -> None:
        self.api, self.portal, self.worth = api, portal, worth
        self.client = api.client()
        self.flying: dict[Future[tuple[int, Reply]], str] = {}
        self.landed: SimpleQueue[Future[tuple[int, Reply]]] = SimpleQueue()

    def make(self, index: int, request: ApiRequest) -> Iterator[tuple[int, Reply]]:
        """Start a call as soon as there is room; yields what arrives meanwhile."""
        replies = self.api.replies
        key, most = request.known(self.api.endpoint)
        while key in self.flying.values():
            yield self.land()
        worth = partial(self.worth, request)
        kept = replies.best(key, worth)
        if kept is not None and worth(kept) >= 1:
            yield index, kept
            return
        while len(self.flying) >= self.api.limit:
            yield self.land()
        while not (asked := replies.ask(key, most)) and self.flying:
            yield self.land()
        if not asked:
            yield index, _better(kept, replies.no_room(most), worth)
            return
        call = self.portal.start_task_soon(self._call, index, request, key, most, kept)
        self.flying[call] = key
        call.add_done_callback(self.landed.put)

    def land(self) -> tuple[int, Reply]:
        """Wait for one to end."""
        call = self.landed.get()
        del self.flying[call]
        return call.result()

    def end(self) -> None:
        """Give up those still under way; they count as paid."""
        for call in self.flying:
            call.cancel()
        self.portal.call(self.client.close)

    async def _call(
        self, index: int, request: ApiRequest, key: str, most: Tokens, kept: Reply | None
    ) -> tuple[int, Reply]:
        reply = await self.api.call(self.client, request, key, most)
        return index, _better(kept, reply, partial(self.worth, request))


def _better(kept: Reply | None, new: Reply, worth: Worth) -> Reply:
    """The old one only if it says more: of two failures the last is the one to look into."""
    return kept if kept and worth(kept) > worth(new) else new


@dataclass
class _Tries:
    """The tries of one call; one without an answer may have been billed, so it stays noted."""

    api: ChatApi
    key: str
    most: Tokens
    unanswered: bool = False

    def begin(self) -> None:
        if self.unanswered and not self.api.replies.ask(self.key, self.most):
            raise openai.OpenAIError("no answer, and max_usd leaves no room to try again")
        self.unanswered = True


class _Watched(openai.DefaultAsyncHttpxClient):
    """Notes every try, and holds it to its time as a whole: a timeout of httpx is for a read."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        tries = TRIES.get()
        tries.begin()
        try:
            async with asyncio.timeout(self.timeout.read):
                response = await super().send(request, **options)
        except TimeoutError as error:
            raise httpx2.ReadTimeout("no answer in time", request=request) from error
        except CONNECTING:
            tries.unanswered = False
            raise
        tries.unanswered = False
        tries.api.heard()
        return response


if __name__ == "__main__":
    toy = ChatRequest([{"role": "user", "content": "What is water?"}], max_tokens=16)
    print(f"POST <base_url>{toy.path}", json.dumps(toy.body("<model>"), indent=2), sep="\n")
