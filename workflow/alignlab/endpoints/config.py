"""An endpoint that speaks OpenAI's protocol: its keys in the catalog, and the check of its API key.

Judges and models behind an API share these keys.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from pydantic import Field, HttpUrl, TypeAdapter, ValidationError

from alignlab.core.config import StrictModel
from alignlab.core.errors import AlignlabError
from alignlab.planning.artefact import Artefact

# What a config says is in the specs.
CHANGES_NO_VALUE = True

RUNTIME = {"price", "concurrency", "timeout", "retries", "key"}
"""Keys of an endpoint that change no answer, and so no digest."""
Form = Literal["chat", "completions"]
RESPONSE_FORMATS = ("response_format", "json_schema", "json_object")
OURS = ("model", "max_tokens", "temperature", "top_p", "seed", "stop")


class PriceConfig(StrictModel):
    """US dollars for a million tokens."""

    prompt: float = Field(ge=0, description="Of what is sent")
    completion: float = Field(ge=0, description="Of what is answered")


class EndpointConfig(StrictModel):
    """A model behind an address; what it is asked for is in its subclasses."""

    model: str = Field(description="The model's name there; a dated snapshot, so that it stays")
    base_url: str = Field("https://api.openai.com/v1", description="Where it is")
    key: str | None = Field(
        "OPENAI_API_KEY", description="Environment variable with the key; null: none is needed"
    )
    price: PriceConfig | None = Field(None, description="Unknown if absent; *runtime*")
    concurrency: int = Field(16, gt=0, le=512, description="Calls at a time; *runtime*")
    timeout: float = Field(120, gt=0, description="Seconds a call may take; *runtime*")
    retries: int = Field(
        4, ge=0, description="Further tries after 429, 5xx, a time-out or no connection; *runtime*"
    )


class EndpointRuntime(StrictModel):
    """How an endpoint is asked for one table, which changes no answer: keys `RUNTIME`, and a limit.

    Attributes:
        max_usd: what all replies for the table may cost, in all runs; null for no limit.
    """

    price: PriceConfig | None
    concurrency: int
    timeout: float
    retries: int
    key: str | None
    max_usd: float | None


class EndpointPlace(StrictModel):
    """What a job needs of this machine and its purse that changes no answer.

    Attributes:
        runtime: how its endpoint is asked; None if it asks none.
    """

    runtime: EndpointRuntime | None = None


class ApiEngineConfig(StrictModel):
    """What answers for a model behind an endpoint: the part of it that is in digests."""

    name: Literal["openai"] = "openai"
    model: str
    base_url: str
    form: Form


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
