"""The model's own chat template, with or without a system message.

The template comes from the tokenizer, or from the catalog where the tokenizer's is missing or
wrong; it is never guessed from a model's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alignlab.core.errors import AlignlabError
from alignlab.prompting.encode import Stopping, guided

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class ChatPrompter:
    """Renders conversations through the tokenizer's chat template."""

    tokenizer: PreTrainedTokenizerBase
    system: str | None = None
    guidance: str | None = None
    stopping: Stopping = Stopping()
    templated: bool = True

    def render(self, turns: Sequence[str], answers: Sequence[str]) -> str:
        """The conversation up to the start of the answer to `turns[len(answers)]`."""
        messages = conversation(self.system, self.guidance, turns, answers)
        return self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )


def conversation(
    system: str | None, guidance: str | None, turns: Sequence[str], answers: Sequence[str]
) -> list[dict[str, str]]:
    """The messages up to `turns[len(answers)]`, each with `role` and `content`."""
    messages = [{"role": "system", "content": system}] if system else []
    asked = guided(turns, guidance)[: len(answers) + 1]
    for turn, answer in zip(asked, [*answers, None], strict=True):
        messages.append({"role": "user", "content": turn})
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
    return messages


def prompter(method: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> ChatPrompter:
    """From a resolved method.

    Raises:
        AlignlabError: the tokenizer has no chat template.
    """
    if not tokenizer.chat_template:
        raise AlignlabError(
            f"{tokenizer.name_or_path}: the tokenizer has no chat template; set `chat_template` "
            "for this model in config/catalog/models.yaml, or use another method"
        )
    return ChatPrompter(tokenizer, method.get("system"), method.get("guidance"))
