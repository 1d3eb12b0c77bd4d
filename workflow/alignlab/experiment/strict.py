"""The base of every config model, in a module of its own to keep code digests small."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Unknown keys are refused and instances are frozen: a typo never becomes a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)
