"""Prompting methods as an experiment names them; each says which code renders it.

Keys are documented in `config/README.md`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from alignlab.experiment.strict import Strict


class Method(Strict):
    """What every method has."""

    unit: ClassVar[str]
    """The code unit that renders it; `alignlab.experiment.units` says in which module."""

    guidance: str | None = Field(
        None, description="Text put before the question (LfM step 4): a file of `config/prompts`"
    )
    hindsight: str | None = Field(
        None,
        description="The answer begins with the good marker of this file of `config/prompts`, and "
        "ends where the bad one begins a line (Chain of Hindsight, arXiv 2302.02676)",
    )


class ZeroShot(Method):
    """The Query/Answer frame and nothing else (URIAL §4.1)."""

    unit: ClassVar[str] = "method zero-shot"
    kind: Literal["zero-shot"] = Field(description="The method")


class InContext(Method):
    """A constant prompt: system text and examples (URIAL §3), or examples alone (vanilla ICL)."""

    unit: ClassVar[str] = "method in-context"
    kind: Literal["urial", "icl"] = Field(description="Which name the report gives it")
    prompt: str = Field(description="A file of `config/prompts` (YAML or URIAL's own .txt)")
    k: int | None = Field(
        None, ge=0, description="Use the last k examples, nearest to the query; all if absent"
    )
    system: bool = Field(True, description="Keep the system text")


class Retrieval(Method):
    """The k pool examples nearest to the question, the most similar one last (URIAL §4.1)."""

    unit: ClassVar[str] = "method retrieval"
    kind: Literal["retrieval"] = Field(description="The method")
    pool: str = Field(description="A file of `config/prompts` with examples")
    k: int = Field(3, ge=1, description="How many examples")
    embedder: str = Field("minilm", description="Catalog model that embeds questions")


class Chat(Method):
    """The model's own chat template."""

    unit: ClassVar[str] = "method chat"
    kind: Literal["chat"] = Field(description="The method")
    system: str | None = Field(None, description="System message; none if absent")


AnyMethod = Annotated[ZeroShot | InContext | Retrieval | Chat, Field(discriminator="kind")]

METHODS: tuple[type[Method], ...] = (ZeroShot, InContext, Retrieval, Chat)


def unit_of(kind: str) -> str:
    """The code unit that renders the methods of a kind."""
    return next(m.unit for m in METHODS if kind in get_args(m.model_fields["kind"].annotation))
