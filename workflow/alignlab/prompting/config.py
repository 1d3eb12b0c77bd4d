"""Prompting methods as an experiment names them; each says which module of `prompting` renders it.

Keys are documented in `config/README.md`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator

from alignlab.core.config import StrictModel, dump
from alignlab.planning.versions import Unit
from alignlab.prompting import prompt_files

# What a config says is in the specs.
CHANGES_NO_VALUE = True


TAKEN = {
    *("add_generation_prompt", "chat_template", "continue_final_message", "conversation"),
    *("documents", "max_length", "messages", "padding", "return_assistant_tokens_mask"),
    *("return_dict", "return_tensors", "sanitize_control_tokens", "strftime_now", "tokenize"),
    *("tokenizer_kwargs", "tools", "truncation"),
}
"""Arguments of `apply_chat_template` that are no variables of a template, or are set by us."""


class MethodConfig(StrictModel):
    """What every method has."""

    unit: ClassVar[Unit]
    """The code that renders it: a module with a function `prompter`."""
    needs: ClassVar[tuple[Literal["tokenizer", "embedder"], ...]] = ()
    """What `prompter` takes beyond the resolved method: a tokenizer, an embedder's folder."""

    guidance: str | None = Field(
        None, description="Text put before the question (LfM step 4): a file of `config/prompts`"
    )
    hindsight: str | None = Field(
        None,
        description="The answer begins with the good marker of this file of `config/prompts`, and "
        "ends where the bad one begins a line (Chain of Hindsight, arXiv 2302.02676)",
    )

    @property
    def embeds_with(self) -> str | None:
        """The catalog model that embeds questions, where one does."""
        return None

    def resolved(self) -> dict[str, Any]:
        """The method with its texts in place of file names, so that a digest covers what is read.

        Raises:
            AlignlabError: a text is missing, or is not as it should be.
        """
        found = self._resolved()
        if self.guidance:
            found["guidance"] = prompt_files.guidance(self.guidance)
        if self.hindsight:
            markers = prompt_files.lfm_texts(self.hindsight)
            found["hindsight"] = {key: markers[f"{key}_marker"] for key in ("good", "bad")}
        return found

    def _resolved(self) -> dict[str, Any]:
        """The keys of a method's own."""
        return dump(self)


class ZeroShotConfig(MethodConfig):
    """The Query/Answer frame and nothing else (URIAL §4.1)."""

    unit: ClassVar[Unit] = Unit("method zero-shot", "alignlab.prompting.frame", "prompter")
    kind: Literal["zero-shot"] = Field(description="The method")


class InContextConfig(MethodConfig):
    """A constant prompt: system text and examples (URIAL §3), or examples alone (vanilla ICL)."""

    unit: ClassVar[Unit] = Unit("method in-context", "alignlab.prompting.frame", "prompter")
    kind: Literal["urial", "icl"] = Field(description="Which name the report gives it")
    prompt: str = Field(description="A file of `config/prompts` (YAML or URIAL's own .txt)")
    k: int | None = Field(
        None, ge=0, description="Use the last k examples, nearest to the query; all if absent"
    )
    system: bool = Field(True, description="Keep the system text")

    def _resolved(self) -> dict[str, Any]:
        own = dump(self).items()
        kept = {key: value for key, value in own if key not in ("prompt", "k", "system")}
        return kept | prompt_files.constant_prompt(self.prompt, self.k, self.system)


class RetrievalConfig(MethodConfig):
    """The k pool examples nearest to the question, the most similar one last (URIAL §4.1)."""

    unit: ClassVar[Unit] = Unit("method retrieval", "alignlab.prompting.retrieval", "prompter")
    needs: ClassVar = ("embedder",)
    kind: Literal["retrieval"] = Field(description="The method")
    pool: str = Field(description="A file of `config/prompts` with examples")
    k: int = Field(3, ge=1, description="How many examples")
    embedder: str = Field("minilm", description="Catalog model that embeds questions")

    @property
    def embeds_with(self) -> str:
        """See `MethodConfig`."""
        return self.embedder

    def _resolved(self) -> dict[str, Any]:
        return dump(self) | {"pool": prompt_files.example_pool(self.pool, self.k)}


class ChatConfig(MethodConfig):
    """The model's own chat template."""

    unit: ClassVar[Unit] = Unit("method chat", "alignlab.prompting.chat", "prompter")
    needs: ClassVar = ("tokenizer",)
    kind: Literal["chat"] = Field(description="The method")
    system: str | None = Field(None, description="System message; none if absent")
    chat_template_kwargs: dict[str, bool | int | float | str] | None = Field(
        None,
        description="Variables of the template, such as {enable_thinking: false}; it must know "
        "them. A template that writes today's date writes 26 July 2024",
    )

    @field_validator("chat_template_kwargs")
    @classmethod
    def _ours(cls, given: dict[str, Any] | None) -> dict[str, Any] | None:
        if taken := sorted(TAKEN.intersection(given or ())):
            raise ValueError(f"{taken[0]} is no variable of a template that can be set here")
        return given


AnyMethod = Annotated[
    ZeroShotConfig | InContextConfig | RetrievalConfig | ChatConfig, Field(discriminator="kind")
]

METHODS: dict[str, type[MethodConfig]] = {
    kind: config
    for config in get_args(get_args(AnyMethod)[0])
    for kind in get_args(config.model_fields["kind"].annotation)
}
"""Kind of a method → its config, which names the code that renders it."""
