"""An endpoint that speaks OpenAI's protocol: its keys in the catalog, and the check of its API key.

Judges and models behind an API share these keys.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, HttpUrl, TypeAdapter, ValidationError

from alignlab.core.config import StrictModel

# What a config says is in the specs.
CHANGES_NO_VALUE = True

RUNTIME = {"price", "concurrency", "timeout", "retries", "key"}
"""Keys of an endpoint that change no answer, and so no digest."""
Form = Literal["chat", "completions"]


def _one_address(url: str) -> str:
    """The same words for the same place, since replies are known by it: no "/" at the end.

    What is no address stays; `Endpoint.secret` refuses it with the name of the model.
    """
    try:
        return str(TypeAdapter(HttpUrl).validate_python(url.strip())).rstrip("/")
    except ValidationError:
        return url


BaseUrl = Annotated[str, AfterValidator(_one_address)]


class PriceConfig(StrictModel):
    """US dollars for a million tokens."""

    prompt: float = Field(ge=0, description="Of what is sent")
    completion: float = Field(ge=0, description="Of what is answered")


class EndpointConfig(StrictModel):
    """A model behind an address; what it is asked for is in its subclasses."""

    model: str = Field(description="The model's name there; a dated snapshot, so that it stays")
    base_url: BaseUrl = Field("https://api.openai.com/v1", description="Where it is")
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
    base_url: BaseUrl
    form: Form
