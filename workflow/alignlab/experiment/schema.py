"""An experiment, typed: what `config/experiments/*.yaml` may say. Keys in `config/README.md`.

`alignlab check config/experiments/demo.yaml` validates a file and prints its plan.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from alignlab.experiment.decoding import Decoding
from alignlab.experiment.methods import AnyMethod
from alignlab.experiment.strict import Name, Strict


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

    name: Literal["transformers", "fake"] = Field(
        "transformers", description="`fake` answers without weights, for tests"
    )
    dtype: Literal["bfloat16", "float32"] = Field(
        "bfloat16",
        description="On CPUs without bfloat16 instructions float32 is faster",
    )


class Runtime(Strict):
    """How jobs are cut and sized; never part of a digest."""

    batch_size: int = Field(
        32, gt=0, description="Prompts per forward pass; in bfloat16 near-ties may fall otherwise"
    )
    jobs_per_arm: int = Field(1, gt=0, le=1000, description="Batches of prompts, one job each")


class Arm(Strict):
    """A model under a prompting method, with its decoding."""

    name: Name = Field(description="Unique; part of file names")
    model: str = Field(description="A model of the catalog")
    method: AnyMethod = Field(description="How it is asked: one of the prompting methods below")
    decoding: Decoding | None = Field(None, description="The experiment's decoding if absent")


class Published(Strict):
    """An arm whose answers somebody else generated."""

    name: Name = Field(description="Unique among all arms")
    responses: str = Field(description="An entry of the catalog's `published`")


class Wandb(Strict):
    """Where finished tables are published; never part of a digest."""

    mode: Literal["offline", "online", "disabled"] = Field(
        "offline", description="`online` needs WANDB_API_KEY in the environment"
    )
    project: str = Field("alignlab", description="W&B project")
    entity: str | None = Field(None, description="W&B user or team; your default if absent")


class Experiment(Strict):
    """One study: arms × prompts, measured and compared."""

    name: Name = Field(description="Names the folder of results; the file's own name, by custom")
    title: str = Field(description="One line; changing it only makes the report again")
    seed: int = Field(0, ge=0, description="Seeds of sampled answers and bootstraps derive from it")
    prompts: tuple[PromptSet, ...] = Field(min_length=1, description="What every arm is asked")
    arms: tuple[Arm, ...] = Field(min_length=1, description="Who answers, and how it is asked")
    published: tuple[Published, ...] = Field((), description="Arms that others have run already")
    decoding: Decoding = Field(Decoding(), description="Decoding of arms that do not say")
    engine: EngineChoice = Field(EngineChoice(), description="What runs the models")
    embedder: str | None = Field(
        "minilm", description="Catalog model behind the relevance metric; null leaves it out"
    )
    baseline: str = Field(description="The arm that every other arm is compared with, by prompt")
    runtime: Runtime = Field(Runtime(), description="How jobs are cut and sized; *runtime*")
    wandb: Wandb = Field(
        Wandb(), description="Where results are published; changing it only publishes again"
    )

    @property
    def arm_names(self) -> tuple[str, ...]:
        """Every arm's name, generated ones first, in the order of the file."""
        return (*(arm.name for arm in self.arms), *(p.name for p in self.published))

    @model_validator(mode="after")
    def _names_resolve(self) -> Experiment:
        if self.name in ("store", "logs", "benchmarks"):
            raise ValueError(f"name: {self.name} is a folder of results that is taken")
        names = self.arm_names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two arms are named {', '.join(twice)}: names must be unique")
        if self.baseline not in names:
            raise ValueError(f"baseline {self.baseline!r} is no arm; arms are {', '.join(names)}")
        return self
