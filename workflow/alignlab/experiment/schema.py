"""An experiment, typed: what `config/experiments/*.yaml` may say. Keys in `config/README.md`.

`alignlab check config/experiments/demo.yaml` validates a file and prints its plan.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from alignlab.experiment.decoding import Decoding
from alignlab.experiment.judging import Judge
from alignlab.experiment.learning import Analysis, Asked, Mistakes, Scenario, Study, TrainSet
from alignlab.experiment.methods import AnyMethod
from alignlab.experiment.selection import PromptSet
from alignlab.experiment.strict import Name, Strict
from alignlab.experiment.tuning import Tuned


class EngineChoice(Strict):
    """What runs the models. Both keys are semantic: other kernels and dtypes give other numbers."""

    name: Literal["transformers", "vllm", "fake"] = Field(
        "transformers",
        description="`vllm` needs `make vllm`; `fake` answers without weights, for tests",
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
    models_together: bool = Field(
        True, description="Hold both models of a pair in memory; else one after the other"
    )
    jobs_per_arm: int = Field(1, gt=0, le=1000, description="Batches of prompts, one job each")


class Arm(Asked):
    """A model under a prompting method, with its decoding."""

    name: Name = Field(description="Unique; part of file names")
    datasets: tuple[str, ...] | None = Field(
        None, description="The experiment's datasets that it is asked; all if absent"
    )


class Published(Strict):
    """An arm whose answers somebody else generated."""

    name: Name = Field(description="Unique among all arms")
    responses: str = Field(description="An entry of the catalog's `published`")
    method: AnyMethod | None = Field(
        None, description="How they were asked; a pair with `template: own` needs to know"
    )


class Pair(Strict):
    """An aligned model's answers, scored token by token under itself and a base model."""

    name: Name = Field(description="Unique; part of file names")
    aligned: str = Field(description="The arm whose answers are scored; any arm")
    base: str = Field(description="The arm that says which base model, and how it is asked")
    datasets: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Answers to prompts of these datasets are scored; all if absent",
    )
    template: Literal["own", "shared"] = Field(
        "own",
        description="`own`: each model sees its own prompt (URIAL); `shared`: both see the base's",
    )
    retokenise: bool = Field(
        False, description="Score published answers, whose token ids are unknown, from their text"
    )


class Wandb(Strict):
    """Where finished tables are published; never part of a digest."""

    mode: Literal["offline", "online", "disabled"] = Field(
        "offline", description="`online` needs WANDB_API_KEY in the environment"
    )
    project: str = Field("alignlab", description="W&B project")
    entity: str | None = Field(None, description="W&B user or team; your default if absent")


class Experiment(Strict):
    """Arms × prompts, measured and compared."""

    name: Name = Field(description="Names the folder of results; the file's own name, by custom")
    title: str = Field(description="One line; changing it only makes the report again")
    seed: int = Field(0, ge=0, description="Seeds of sampled answers and bootstraps derive from it")
    prompts: tuple[PromptSet, ...] = Field(min_length=1, description="What every arm is asked")
    arms: tuple[Arm, ...] = Field(min_length=1, description="Who answers, and how it is asked")
    published: tuple[Published, ...] = Field((), description="Arms that others have run already")
    tuned: tuple[Tuned, ...] = Field((), description="Models that the experiment tunes itself")
    pairs: tuple[Pair, ...] = Field((), description="Whose token shift is measured")
    mistakes: tuple[Mistakes, ...] = Field((), description="Collections of bad answers")
    analyses: tuple[Analysis, ...] = Field((), description="Answers that a model explains")
    trainsets: tuple[TrainSet, ...] = Field((), description="What models are tuned on")
    scenarios: tuple[Scenario, ...] = Field((), description="Tables that answer one question each")
    studies: tuple[Study, ...] = Field((), description="Discrimination against generation")
    judges: tuple[Judge, ...] = Field((), description="Who scores and compares answers")
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
    def _name_free_and_pairs_comparable(self) -> Experiment:
        if self.name in ("store", "logs", "benchmarks"):
            raise ValueError(f"name: {self.name} is a folder of results that is taken")
        for index, pair in enumerate(self.pairs):
            self._check_published(f"pairs.{index}", pair)
        if self.pairs and self.engine.name == "fake":
            raise ValueError("pairs: the fake engine has no probabilities to compare")
        return self

    def _check_published(self, where: str, pair: Pair) -> None:
        published = next((p for p in self.published if p.name == pair.aligned), None)
        if published and not pair.retokenise:
            raise ValueError(
                f"{where}: the answers of {published.name} have no token ids; `retokenise: true` "
                "has them tokenised from their text"
            )
        if published and pair.template == "own" and not published.method:
            raise ValueError(
                f"{where}: how {published.name} was asked is unknown; give it a `method`, or use "
                "`template: shared`"
            )
