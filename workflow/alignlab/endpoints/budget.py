"""What calls to an endpoint cost, and whether the next one may be made.

    snakemake --cores 2      # arms and judges with `max_usd` stop before it

A call is let through only if everything ever paid, everything on its way and this call at its most
stay within the limit, so the limit holds whatever the endpoint answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alignlab.core.errors import AlignlabError
from alignlab.endpoints.config import PriceConfig

MILLION = 1_000_000


@dataclass(frozen=True)
class Tokens:
    """What was sent and what was answered, in tokens; exact, so that sums never drift."""

    prompt: int = 0
    completion: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.prompt + other.prompt, self.completion + other.completion)

    def __sub__(self, other: Tokens) -> Tokens:
        return Tokens(self.prompt - other.prompt, self.completion - other.completion)


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


def price_of(entry: Mapping[str, Any]) -> PriceConfig | None:
    """The price in a catalog entry as a dict, if it has one."""
    return PriceConfig.model_validate(entry["price"]) if entry.get("price") else None
