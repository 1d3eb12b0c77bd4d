"""Catalog entries: what experiments may name. `alignlab check` validates them.

Files: `config/catalog/{models,datasets,published,judges}.yaml`; keys in `config/README.md`.
"""

from __future__ import annotations

from pydantic import model_validator

from alignlab.core.config import Name, StrictModel
from alignlab.judging.config import AnyJudge
from alignlab.sources.config import DatasetConfig, ModelConfig, PublishedAnswersConfig


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
