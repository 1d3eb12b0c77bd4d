"""Catalog entries: what experiments may name. `alignlab check` validates them.

Files: `config/catalog/{models,datasets,published,judges}.yaml`; keys in `config/README.md`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from alignlab.experiment.judge_entries import JudgeEntry
from alignlab.experiment.source_entries import (
    ApiSource,
    DataSource,
    FileSource,
    HijackingSource,
    ModelSource,
)
from alignlab.experiment.strict import Name, Strict


class ModelEntry(Strict):
    """A model that arms may name."""

    source: ModelSource = Field(description="Where the weights come from")
    role: Literal["base", "aligned", "embedder"] = Field(description="What the model is used as")
    license: str = Field(description="Licence of the weights, for the report")
    parameters: int | None = Field(
        None, gt=0, description="Number of weights; jobs and costs are sized by it, as 0 if absent"
    )
    kv_values: int | None = Field(
        None,
        gt=0,
        description="Numbers that a token leaves in the cache, to size jobs by, as 0 if absent: "
        "2 × layers × key-value heads × head size",
    )
    gpus: int = Field(1, gt=0, description="GPUs that it is spread over (vLLM); *runtime*")
    engine: Literal["transformers", "vllm"] | None = Field(
        None, description="What runs it, if not what the experiment says"
    )
    chat_template: str | None = Field(
        None, description="Jinja template, where the tokenizer brings none or a wrong one"
    )

    @model_validator(mode="after")
    def _seen_or_not(self) -> ModelEntry:
        shows = self.role == "embedder" or self.engine or self.chat_template or self.kv_values
        if isinstance(self.source, ApiSource) and shows:
            raise ValueError(
                "a model behind an endpoint is no `embedder`, and takes no `engine`, "
                "`chat_template` or `kv_values`: its weights are not here"
            )
        return self


Two = Annotated[tuple[str, ...], Field(min_length=2, max_length=2)]


class Preference(Strict):
    """Two answers a row, of which exactly one must be safe: the form of PKU-SafeRLHF."""

    answers: Two = Field(description="The two columns with an answer")
    safe: Two = Field(description="The two columns that say, in this order, whether it is safe")


class Columns(Strict):
    """Which column of a dataset's file holds what."""

    prompt: str | None = Field(None, description="Column with the one question")
    context: str | None = Field(
        None, description="Column with text that follows the question, as Alpaca's `input`"
    )
    turns: str | None = Field(None, description="Column with the list of questions, one a turn")
    id: str | None = Field(None, description="Column with a unique id; row number if absent")
    category: str | None = Field(None, description="Column with `regular` or `safety`")
    source: str | None = Field(None, description="Column with where the row came from")
    tags: tuple[str, ...] = Field((), description="Columns (text or lists) that become tags")
    reference: str | None = Field(None, description="Column with a reference answer, a good one")
    mistake: str | None = Field(None, description="Column with an answer that is known to be bad")
    preference: Preference | None = Field(
        None,
        description="Columns that give both; rows without exactly one safe answer are left out, "
        "and so are later rows with the same question",
    )

    @model_validator(mode="after")
    def _one_column_for_each(self) -> Columns:
        if (self.prompt is None) == (self.turns is None):
            raise ValueError("give exactly one of `prompt` and `turns`")
        if self.context and not self.prompt:
            raise ValueError("`context` follows a `prompt`; there is none")
        if self.preference and (self.reference or self.mistake):
            raise ValueError("`preference` gives `reference` and `mistake`; leave them out")
        return self


class DatasetEntry(Strict):
    """A set of prompts that experiments may name."""

    source: DataSource = Field(description="Where the rows come from")
    columns: Columns | None = Field(
        None, description="Which column holds what; attacks (`hijacking`) have none"
    )
    category: Literal["regular", "safety"] | None = Field(
        None, description="Category of every row, where no column says it; attacks are `safety`"
    )
    license: str = Field(description="Licence of the data, for the report")
    rows: dict[Literal["regular", "safety"], int] | None = Field(
        None, description="How many rows of each category, to preview costs by; *runtime*"
    )

    @model_validator(mode="after")
    def _columns_and_category_known(self) -> DatasetEntry:
        if isinstance(self.source, HijackingSource):
            if self.columns or self.category:
                raise ValueError("a `hijacking` source takes no `columns` and no `category`")
            return self
        if self.columns is None:
            raise ValueError("`columns` is missing")
        if (self.category is None) == (self.columns.category is None):
            raise ValueError("give exactly one of `category` and `columns.category`")
        return self


class PublishedEntry(Strict):
    """Responses that somebody else generated."""

    source: FileSource = Field(description="Where the file comes from")
    model: str = Field(description="The model that answered, for the table's `model` column")


class Catalog(Strict):
    """Everything an experiment may refer to by name."""

    models: dict[Name, ModelEntry]
    datasets: dict[Name, DatasetEntry]
    published: dict[Name, PublishedEntry] = {}
    judges: dict[Name, JudgeEntry] = {}

    @model_validator(mode="after")
    def _questions_known(self) -> Catalog:
        for name, entry in self.datasets.items():
            if not isinstance(entry.source, HijackingSource):
                continue
            questions = self.datasets.get(entry.source.questions)
            if questions is None or isinstance(questions.source, HijackingSource):
                raise ValueError(
                    f"datasets.{name}.source.questions: {entry.source.questions!r} is no dataset "
                    "of the catalog with questions of its own"
                )
        return self
