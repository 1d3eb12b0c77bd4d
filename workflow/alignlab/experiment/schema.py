"""An experiment, typed: what `config/experiments/*.yaml` may say. Keys in `config/README.md`.

`alignlab check config/experiments/demo.yaml` validates a file and prints its plan.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from alignlab.experiment.decoding import Decoding
from alignlab.experiment.methods import AnyMethod
from alignlab.experiment.strict import Strict

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._]*(-[a-z0-9._]+)*$", max_length=60)]


class PromptSet(Strict):
    """Which rows of a dataset are asked. Every key is part of the digest."""

    dataset: str = Field(description="A dataset of the catalog")
    where: dict[Literal["category", "source", "tags"], tuple[str, ...]] = Field(
        {}, description="Keep rows whose column holds (for tags: contains) one of these values"
    )
    ids: tuple[str, ...] | None = Field(None, description="Keep exactly these prompt ids")
    take: int | None = Field(None, gt=0, description="Keep this many rows")
    per: Literal["category", "source", "tags"] | None = Field(
        None, description="Take that many of each value of this column (for tags: the first tag)"
    )
    sample: int | None = Field(
        None, ge=0, description="Seed of a random choice of rows; the first rows if absent"
    )
    turns: int | None = Field(None, gt=0, description="Ask at most this many turns; all if absent")


class EngineChoice(Strict):
    """What runs the models. Both keys are semantic: other kernels and dtypes give other numbers."""

    name: Literal["transformers", "fake"] = "transformers"
    dtype: Literal["bfloat16", "float32"] = "bfloat16"


class Runtime(Strict):
    """How jobs are cut and sized; never part of a digest."""

    batch_size: int = Field(32, gt=0, description="Prompts per forward pass")
    jobs_per_arm: int = Field(1, gt=0, le=1000, description="Batches of prompts, one job each")


class Arm(Strict):
    """A model under a prompting method, with its decoding."""

    name: Name
    model: str = Field(description="A model of the catalog")
    method: AnyMethod
    decoding: Decoding | None = Field(None, description="The experiment's decoding if absent")


class Published(Strict):
    """An arm whose answers somebody else generated."""

    name: Name
    responses: str = Field(description="An entry of the catalog's `published`")


class Wandb(Strict):
    """Where finished tables are published; never part of a digest."""

    mode: Literal["offline", "online", "disabled"] = "offline"
    project: str = "alignlab"
    entity: str | None = None


class Experiment(Strict):
    """One study: arms × prompts, measured and compared."""

    name: Name
    title: str = Field(description="One line for the report")
    seed: int = Field(0, ge=0, description="Seeds of sampled answers and bootstraps derive from it")
    prompts: tuple[PromptSet, ...] = Field(min_length=1)
    arms: tuple[Arm, ...] = Field(min_length=1)
    published: tuple[Published, ...] = ()
    decoding: Decoding = Decoding()
    engine: EngineChoice = EngineChoice()
    embedder: str | None = Field(
        "minilm", description="Catalog model behind the relevance metric; null leaves it out"
    )
    baseline: str = Field(description="The arm that every other arm is compared with, by prompt")
    runtime: Runtime = Runtime()
    wandb: Wandb = Wandb()

    @property
    def arm_names(self) -> tuple[str, ...]:
        """Every arm's name, generated ones first, in the order of the file."""
        return (*(arm.name for arm in self.arms), *(p.name for p in self.published))

    @model_validator(mode="after")
    def _names_resolve(self) -> Experiment:
        names = self.arm_names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two arms are named {', '.join(twice)}: names must be unique")
        if self.baseline not in names:
            raise ValueError(f"baseline {self.baseline!r} is no arm; arms are {', '.join(names)}")
        return self
