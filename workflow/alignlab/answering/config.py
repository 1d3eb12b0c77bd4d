"""Arms and published arms: what `arms` and `published` may say. Keys in `config/README.md`."""

from __future__ import annotations

from pydantic import Field

from alignlab.core.config import Name, StrictModel
from alignlab.engines.config import DecodingConfig
from alignlab.prompting.config import AnyMethod

# What a config says is in the specs.
CHANGES_NO_VALUE = True


class AskedConfig(StrictModel):
    """A model under a prompting method: the part of an arm that steps of LfM share."""

    model: str = Field(description="A model of the catalog, or one that is tuned here")
    method: AnyMethod = Field(description="How it is asked: one of the prompting methods below")
    decoding: DecodingConfig | None = Field(None, description="The experiment's decoding if absent")
    max_usd: float | None = Field(
        None,
        gt=0,
        description="Of a model behind an endpoint: stop before all replies under this name, in "
        "all runs, cost more; needs a `price`; *runtime*",
    )


class ArmConfig(AskedConfig):
    """A model under a prompting method, with its decoding."""

    name: Name = Field(description="Unique; part of file names")
    datasets: tuple[str, ...] | None = Field(
        None, description="The experiment's datasets that it is asked; all if absent"
    )


class PublishedArmConfig(StrictModel):
    """An arm whose answers somebody else generated."""

    name: Name = Field(description="Unique among all arms")
    responses: str = Field(description="An entry of the catalog's `published`")
    method: AnyMethod | None = Field(
        None, description="How they were asked; a pair with `template: own` needs to know"
    )
