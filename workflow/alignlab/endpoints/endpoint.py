"""Where a model answers, and what its errors mean.

    alignlab check                              # validates the addresses of config/catalog

Keys come from the environment alone; no message and no file ever holds one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from pydantic import HttpUrl, TypeAdapter, ValidationError

from alignlab.core.errors import AlignlabError
from alignlab.planning.artefact import Artefact

RESPONSE_FORMATS = ("response_format", "json_schema", "json_object")
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
