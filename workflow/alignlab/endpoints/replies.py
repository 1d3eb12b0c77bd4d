"""Replies of an endpoint: the ledger of all of them, and what they cost.

The file is JSON Lines, only ever appended to, by one process at a time. One line says that a
request is about to be sent and how much it may use, a later one gives the result. So the requests
that a killed process had under way are known, and count as paid. No key and no header is written.

A request is sent only if all that was ever paid, all that is under way and this request at its most
stay within the limit, so the limit holds whatever the endpoint answers.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from pydantic import HttpUrl, TypeAdapter, ValidationError

from alignlab.core.config import StrictModel
from alignlab.core.errors import AlignlabError
from alignlab.core.sharing import make_folder, share
from alignlab.core.tables import replacing
from alignlab.endpoints.bodies import Reply, Tokens
from alignlab.endpoints.config import PriceConfig
from alignlab.planning.artefact import Artefact

MILLION = 1_000_000
API_ERROR, NO_ROOM = "api_error", "max_usd"
"""Why there is no answer, where a further attempt may bring one."""


RESPONSE_FORMATS = ("response_format", "json_schema", "json_object")


PATHS = ("/chat/completions", "/completions")
OURS = ("model", "max_tokens", "temperature", "top_p", "seed", "stop")


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

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Endpoint:
        """From a catalog entry as a dict, with or without what is null; other keys are left out."""
        told: dict[str, Any] = {field.name: entry.get(field.name) for field in fields(cls)}
        return cls(**told)

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
        if url.query or url.fragment or (url.path or "").endswith(PATHS):
            why = f"base_url: {self.base_url!r} goes on after its end; it ends before {PATHS[0]}"
            raise AlignlabError(f"{self.model}: {why}, mostly with /v1, and has no ? and no #")
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
            405: "`base_url` takes no POST: http in place of https, or its end is missing",
        }.get(status)
        if status == 400 and "api key" in said.casefold():
            why = f"{key} is refused"  # so Gemini says it
        if status in (400, 422) and param in OURS:
            why = f"`{param}` is refused"
        if status in (400, 422) and form and any(w in f"{param} {said}" for w in RESPONSE_FORMATS):
            why = f"`structured: {form}` is refused; try json_object or none"
        return f"{self.model} at {self.base_url}: {why}: {said}" if why else None


def check_keys(artefacts: Iterable[Artefact]) -> None:
    """Check, without a call, that the endpoints which tables are asked of have their keys.

    Raises:
        AlignlabError: as `Endpoint.secret`, with the name of the table.
    """
    for artefact in artefacts:
        if artefact.runtime:
            asked = {**artefact.slice.get("engine", {}), **artefact.slice.get("entry", {})}
            try:
                Endpoint.of({**asked, **artefact.runtime}).secret()
            except AlignlabError as error:
                raise AlignlabError(f"{artefact.stage} {artefact.name}: {error}") from error


@dataclass(frozen=True)
class Budget:
    """A price in dollars per million tokens, or none known, and what may be spent in dollars.

    Raises:
        AlignlabError: there is a limit and no price.
    """

    price: PriceConfig | None
    max_usd: float | None

    def __post_init__(self) -> None:
        if self.max_usd is not None and self.price is None:
            raise AlignlabError(
                f"max_usd: {self.max_usd} cannot be kept without a price; "
                "give the model or the judge a `price` in the catalog"
            )

    def usd(self, tokens: Tokens) -> float | None:
        """Dollars for these tokens; null if the price is unknown."""
        if self.price is None:
            return None
        prompt, completion = self.price.prompt, self.price.completion
        return (tokens.prompt * prompt + tokens.completion * completion) / MILLION

    def allows(self, tokens: Tokens) -> bool:
        """Whether so much may be spent in all."""
        usd = self.usd(tokens)
        return usd is None or self.max_usd is None or usd <= self.max_usd


Worth = Callable[[Reply], float]
"""How much of what was asked for is in a reply; at 1 it is never asked for again."""


class Line(StrictModel):
    """A line of the file; without a reply it says that the request is about to be sent."""

    key: str
    most: Tokens
    reply: Reply | None = None


class Replies:
    """A file of replies, by digest of the request. It need not exist.

    Attributes:
        spent: tokens of all replies so far, and of requests without one at their most.
    """

    def __init__(self, path: Path, budget: Budget) -> None:
        self.path, self.budget = path, budget
        self.spent = Tokens()
        self._places: dict[str, tuple[int, ...]] = {}
        self._end = 0
        self._lock = Lock()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Open the file for this process alone, and read what it holds.

        A last line that a killed process left unfinished is cut off.

        Raises:
            AlignlabError: another process has it open, or a line is not of this form.
        """
        make_folder(self.path.parent)
        with self.path.open("ab") as self._writer, self.path.open("rb") as self._reader:
            share(self.path)
            try:
                fcntl.flock(self._writer, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise AlignlabError(f"{self.path}: another process is writing to it") from error
            self._read_on(self._reader)
            self._writer.truncate(self._end)
            yield

    def best(self, key: str, worth: Worth) -> Reply | None:
        """The stored reply to a request that is worth most, of equals the last; or null."""
        found = [self._at(place) for place in reversed(self._places.get(key, ()))]
        return max(found, key=worth, default=None)

    def ask(self, key: str, most: Tokens) -> bool:
        """Note that a request, which may use so many tokens, is about to be sent.

        Returns:
            Whether the budget has room for it; if not, nothing is noted.
        """
        with self._lock:
            if not self.budget.allows(self.spent + most):
                return False
            self._append(Line(key=key, most=most))
            return True

    def no_room(self, most: Tokens) -> Reply:
        """The reply to a request that `ask` did not let through."""
        limit, usd = self.budget.max_usd, self.budget.usd(most)
        error = f"not asked: max_usd {limit} leaves no room for a call of up to {usd:.6f} dollars"
        return Reply(outcome="skipped", error=error, usage=Tokens())

    def add(self, key: str, most: Tokens, reply: Reply) -> None:
        """Store what came of a request that `ask` let through."""
        with self._lock:
            self._append(Line(key=key, most=most, reply=reply))

    def _append(self, line: Line) -> None:
        written = line.model_dump_json(exclude_defaults=True).encode() + b"\n"
        self._writer.write(written)
        self._writer.flush()
        self._take(line, len(written))

    def _read_on(self, file: BinaryIO) -> None:
        file.seek(self._end)
        for written in file:
            if not written.endswith(b"\n"):
                return
            try:
                line = Line.model_validate_json(written)
            except ValidationError as error:
                raise AlignlabError(
                    f"{self.path}: byte {self._end}: not a line of replies; "
                    "mend it, or remove the file to ask for everything again"
                ) from error
            self._take(line, len(written))

    def _take(self, line: Line, size: int) -> None:
        if line.reply is None:
            self.spent += line.most
        else:
            self._places[line.key] = (*self._places.get(line.key, ()), self._end)
            self.spent += (line.reply.usage or line.most) - line.most
        self._end += size

    def _at(self, place: int) -> Reply:
        self._reader.seek(place)
        reply = Line.model_validate_json(self._reader.readline()).reply
        assert reply is not None
        return reply


def due(note: Path, max_usd: float | None) -> int:
    """The number of the attempt that a table needs: of the last, or one more if that left rows."""
    if not note.exists():
        return 1
    return int(_told(note)["attempt"]) + again(note, max_usd)


def again(note: Path, max_usd: float | None) -> bool:
    """Whether a table that is there needs a further attempt.

    Rows that failed are asked again by every run; rows that `max_usd` left no room for, once
    another limit is set.
    """
    last = _told(note) if note.exists() else {"failed": 0, "no_room": 0}
    return bool(last["failed"] or (last["no_room"] and last["max_usd"] != max_usd))


def _told(note: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
    return told


def write(note: Path, attempt: int, failed: int, no_room: int, max_usd: float | None) -> None:
    """Say how many rows an attempt failed to fill, and how many its limit left no room for.

    The note lies beside the replies: Snakemake deletes the table itself before a further attempt.
    """
    told = {"attempt": attempt, "failed": failed, "no_room": no_room, "max_usd": max_usd}
    with replacing(note) as temporary:
        temporary.write_text(json.dumps(told), encoding="utf-8")
