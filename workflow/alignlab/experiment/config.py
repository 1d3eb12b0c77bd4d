"""The models of an experiment's YAML file and of the catalog. Keys in `config/README.md`."""

from __future__ import annotations

from pydantic import Field, model_validator

from alignlab.answering.config import ArmConfig, PublishedArmConfig
from alignlab.core.config import Name, StrictModel
from alignlab.engines.config import DecodingConfig, EngineConfig
from alignlab.judging.config import AnyJudge, JudgeConfig
from alignlab.learning.config import (
    AnalysisConfig,
    MistakesConfig,
    ScenarioConfig,
    StudyConfig,
    TrainSetConfig,
)
from alignlab.planning.forecast import RuntimeConfig
from alignlab.reporting.config import ContrastConfig
from alignlab.shift.config import PairConfig
from alignlab.sources.config import (
    DatasetConfig,
    ModelConfig,
    PromptSetConfig,
    PublishedAnswersConfig,
)
from alignlab.tracking.config import WandbConfig
from alignlab.tuning.config import TunedConfig


class Catalog(StrictModel):
    """Everything an experiment may refer to by name."""

    models: dict[Name, ModelConfig]
    datasets: dict[Name, DatasetConfig]
    published: dict[Name, PublishedAnswersConfig] = {}
    judges: dict[Name, AnyJudge] = {}

    @model_validator(mode="after")
    def _questions_known(self) -> Catalog:
        for name, entry in self.datasets.items():
            if not (of := entry.source.questions_of):
                continue
            if of not in self.datasets or self.datasets[of].source.questions_of:
                raise ValueError(
                    f"datasets.{name}.source.questions: {of!r} is no dataset of the catalog with "
                    "questions of its own"
                )
        return self


class Experiment(StrictModel):
    """Arms × prompts, measured and compared."""

    name: Name = Field(description="Names the folder of results; the file's own name, by custom")
    title: str = Field(description="One line; changing it only makes the report again")
    seed: int = Field(0, ge=0, description="Seeds of sampled answers and bootstraps derive from it")
    prompts: tuple[PromptSetConfig, ...] = Field(
        min_length=1, description="What every arm is asked"
    )
    arms: tuple[ArmConfig, ...] = Field(
        min_length=1, description="Who answers, and how it is asked"
    )
    published: tuple[PublishedArmConfig, ...] = Field(
        (), description="Arms that others have run already"
    )
    tuned: tuple[TunedConfig, ...] = Field(
        (), description="Models that the experiment tunes itself"
    )
    pairs: tuple[PairConfig, ...] = Field((), description="Whose token shift is measured")
    mistakes: tuple[MistakesConfig, ...] = Field((), description="Collections of bad answers")
    analyses: tuple[AnalysisConfig, ...] = Field((), description="Answers that a model explains")
    trainsets: tuple[TrainSetConfig, ...] = Field((), description="What models are tuned on")
    scenarios: tuple[ScenarioConfig, ...] = Field(
        (), description="Tables that answer one question each"
    )
    contrasts: tuple[ContrastConfig, ...] = Field(
        (), description="Differences named before the run; all others are exploratory"
    )
    studies: tuple[StudyConfig, ...] = Field((), description="Discrimination against generation")
    judges: tuple[JudgeConfig, ...] = Field((), description="Who scores and compares answers")
    decoding: DecodingConfig = Field(
        DecodingConfig(), description="Decoding of arms that do not say"
    )
    engine: EngineConfig = Field(EngineConfig(), description="What runs the models")
    embedder: str | None = Field(
        "minilm", description="Catalog model behind the relevance metric; null leaves it out"
    )
    baseline: str = Field(description="The arm that every other arm is compared with, by prompt")
    runtime: RuntimeConfig = Field(
        RuntimeConfig(), description="How jobs are cut and sized; *runtime*"
    )
    wandb: WandbConfig = Field(
        WandbConfig(), description="Where results are published; changing it only publishes again"
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

    def _check_published(self, where: str, pair: PairConfig) -> None:
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
