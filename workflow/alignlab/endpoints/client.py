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
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from math import isfinite
from queue import SimpleQueue
from time import monotonic, perf_counter
from typing import Any, ClassVar

import httpx2
import openai
from anyio.from_thread import BlockingPortal, start_blocking_portal
from openai._constants import MAX_RETRY_AFTER_DELAY

from alignlab.core.errors import AlignlabError
from alignlab.endpoints.bodies import Reply, Tokens, read, words
from alignlab.endpoints.replies import Endpoint, Replies, Worth

log = logging.getLogger(__name__)
# So many calls in a row without any answer, each after its retries, and the endpoint is gone.
GONE = 32
# A key of so many letters is no word.
LONG = 8
FILTERED = (
    *("content_filter", "content_policy_violation", "data_inspection_failed"),
    *("invalid_prompt", "ResponsibleAIPolicyViolation"),
)
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


WorthOf = Callable[[ApiRequest, Reply], float]


class ChatApi:
    """An endpoint and the file of its replies.

    Attributes:
        limit: calls that may be under way now.
        answered: the endpoint has answered a request, in this run or before.
    """

    def __init__(self, endpoint: Endpoint, replies: Replies) -> None:
        """Check what can be checked without a call.

        Raises:
            AlignlabError: the variable with the key is not set, or the address is no URL.
        """
        self.endpoint, self.replies = endpoint, replies
        self.limit = 1
        self._secret = endpoint.secret()
        self.answered = False
        self._heard = self._renamed = self._heated = False
        self._silent = 0
        self._quiet = 0.0

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
            self._check_quiet()
            body = await self._post(client, request)
            reply, fatal = read(body), self._misplaced(body)
        except openai.OpenAIError as error:
            self._note_quiet(client, error)
            reply = self._failed(error, tries)
            fatal = self._fatal(error, request)
        told = {"error": reply.error and self._masked(reply.error)}
        reply = reply.model_copy(update={**told, "seconds": perf_counter() - started})
        self.answered |= reply.outcome == "answered"
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
            if not self._renamed and NEW_NAME in self._said(error):
                self._renamed = True
            elif not self._heated and error.param == "temperature" and not request.temperature:
                log.warning("%s takes no temperature: it answers at its own", self.endpoint.model)
                self._heated = True
            else:
                raise
            return await self._post(client, request)
        try:
            # JSON is UTF-8, whatever the header says of it.
            return answer.content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return answer.text

    def _misplaced(self, body: str) -> str | None:
        """Why going on would be in vain where a web page answers; null if it is none."""
        if self.answered or not body.lstrip("\ufeff \r\n\t").startswith("<"):
            return None
        said = self._masked(words(body))
        return self.endpoint.hopeless(404, None, f"a web page answers there: {said}", None)

    def _note_quiet(self, client: openai.AsyncOpenAI, error: openai.OpenAIError) -> None:
        """Note for how long the endpoint wants no call, if that is longer than the library waits.

        A shorter wait is kept by the library itself, which tries again after it.
        """
        if isinstance(error, openai.APIStatusError):
            seconds = client._parse_retry_after_header(error.response.headers) or 0
            if isfinite(seconds) and seconds > MAX_RETRY_AFTER_DELAY:
                self._quiet = max(self._quiet, monotonic() + seconds)
                log.warning("%s: %s", self.endpoint.model, self._wait())

    def _check_quiet(self) -> None:
        if monotonic() < self._quiet:
            raise openai.OpenAIError(f"not asked: {self._wait()}")

    def _wait(self) -> str:
        left = self._quiet - monotonic()
        return (
            f"{self.endpoint.base_url} wants no call for {left:.0f} seconds (Retry-After); "
            "run again after that"
        )

    def heard(self) -> None:
        """Note that the endpoint answered, whatever it said."""
        self._heard, self._silent = True, 0

    def _failed(self, error: openai.OpenAIError, tries: _Tries) -> Reply:
        """The reply that stands for an error; a try without an answer may have been billed."""
        said, usage = self._said(error), None if tries.unanswered else Tokens()
        if _filtered(error):
            # What it says is the endpoint's and no text of the model.
            filtered = FILTERED[0]
            return Reply(outcome="answered", refusal=said, finish_reason=filtered, usage=usage)
        return Reply(outcome="failed", error=said, usage=usage)

    def _fatal(self, error: openai.OpenAIError, request: ApiRequest) -> str | None:
        """Why going on would be in vain, or null."""
        said = self._said(error)
        if isinstance(error, openai.APIStatusError) and not _filtered(error):
            form = (request.response_format or {}).get("type")
            # OpenAI says with the status for "too fast" that there is no money left.
            status = 402 if error.code == "insufficient_quota" else error.status_code
            if self.answered and status in (400, 403, 422):
                return None  # it is about this one request
            return self.endpoint.hopeless(status, error.param, said, form)
        if isinstance(error, openai.APIConnectionError):
            self._silent += 1
            never = isinstance(error.__cause__, CONNECTING) and not self._heard
            if never or self._silent >= GONE:
                model, base_url = self.endpoint.model, self.endpoint.base_url
                return f"{model}: base_url {base_url} cannot be reached: {said}"
        return None

    def _masked(self, text: str) -> str:
        """One line of an error, without the key, which an endpoint might repeat.

        A short key (`EMPTY`, `ollama`) is one only where it stands alone, not within a word.
        """
        if self.endpoint.key:
            key = re.escape(self._secret)
            text = re.sub(key if len(self._secret) >= LONG else rf"(?<!\w){key}(?!\w)", "***", text)
        # JSON can spell half a letter, which no file can hold.
        return " ".join(text.split()).encode(errors="replace").decode()[:500]

    def _said(self, error: openai.OpenAIError) -> str:
        """One line about an error: status, what the endpoint says, and how long we must wait."""
        text = str(error)
        if isinstance(error, openai.APIStatusError):
            text = f"Error code: {error.status_code} - {words(error.body)}"
            if monotonic() < self._quiet:
                text = f"{self._wait()}: {text}"
        if cause := error.__cause__:
            text += f" ({type(cause).__name__}: {cause})"
        return self._masked(text)


def _filtered(error: openai.OpenAIError) -> bool:
    """Whether the endpoint held back this question; OpenRouter shows what it flagged of it."""
    if not isinstance(error, openai.APIError):
        return False
    meta = error.body.get("metadata") if isinstance(error.body, dict) else None
    return error.code in FILTERED or (isinstance(meta, dict) and "flagged_input" in meta)


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
            self.api.answered = True  # in an earlier run: address, key and model are right
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
