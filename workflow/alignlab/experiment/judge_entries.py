"""Judges of the catalog: who can score and compare answers. `config/catalog/judges.yaml`.

Keys in `config/README.md`; putting one to work is `alignlab.experiment.judging`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from alignlab.experiment.endpoints import EndpointEntry
from alignlab.experiment.source_entries import FileSource
from alignlab.experiment.strict import Strict


class LocalJudge(Strict):
    """A model of the catalog; scores are read from its next-token distribution."""

    kind: Literal["local"] = Field(description="The judge")
    model: str = Field(description="A model of the catalog, asked through its chat template")
    reason_tokens: int = Field(
        0, ge=0, description="Tokens of a reason that it writes after each score; 0: no reason"
    )


class OpenaiJudge(EndpointEntry):
    """A model behind an endpoint that speaks OpenAI's chat protocol."""

    kind: Literal["openai"] = Field(description="The judge")
    structured: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema", description="`response_format`; `none` asks for JSON in words alone"
    )
    max_tokens: int = Field(1024, gt=0, description="Longest reply")


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
