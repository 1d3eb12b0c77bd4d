"""Where an experiment's results are published: what `wandb` may say. Keys in `config/README.md`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from alignlab.core.config import StrictModel

# What a config says is in the specs.
CHANGES_NO_VALUE = True


class WandbConfig(StrictModel):
    """Where finished tables are published; never part of a digest."""

    mode: Literal["offline", "online", "disabled"] = Field(
        "offline", description="`online` needs WANDB_API_KEY in the environment"
    )
    project: str = Field("alignlab", description="W&B project")
    entity: str | None = Field(None, description="W&B user or team; your default if absent")
