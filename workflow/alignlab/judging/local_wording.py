"""How a local judge is asked, in tokens: its prompts, and the words of a scale as its next ones.

Needs the tokenizer alone, so that a judge that cannot be scored is known before there is anything
to judge.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alignlab.core.errors import AlignlabError
from alignlab.engines.base import Markup
from alignlab.judging.config import ResolvedAspect, ResolvedRubric
from alignlab.prompting.chat import prompter
from alignlab.prompting.encode import encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WHY = "Why? Answer in one sentence."

Tokens = tuple[int, ...]


class LocalWording:
    """What a chat model reads as a judge.

    Attributes:
        stopping: where a reason ends.
        markup: finds thoughts in what it says.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
        """Make it for a model.

        Args:
            tokenizer: the model's.
            name: what messages call the judge.

        Raises:
            AlignlabError: the tokenizer has no chat template, one that it cannot be asked by, or
                one that opens thoughts.
        """
        self.name = name
        # A score is the probability of the first word, so that no thoughts may stand before it.
        thinks = re.search(r"\benable_thinking\b", str(tokenizer.chat_template))
        settings = {"enable_thinking": False} if thinks else {}
        self._prompter = prompter({"chat_template_kwargs": settings}, tokenizer)
        self._encode = encoder(tokenizer, self._prompter)
        self.stopping, self.markup = self._prompter.stopping, Markup(tokenizer)
        if self.markup.spoken([], self.ids(WHY)).unfinished:
            raise AlignlabError(
                f"judge {name}: its chat template begins an answer with thoughts, and its scores "
                "are the probabilities of the first word; take another model, or set a "
                "`chat_template` without them in config/catalog/models.yaml"
            )

    def ids(self, text: str, said: str | None = None) -> list[int]:
        """The conversation up to the judge's word, or up to its reason once the word is said."""
        turns, answers = ([text], []) if said is None else ([text, WHY], [said])
        return self._encode(self._prompter.render(turns, answers))

    def words(self, rubric: ResolvedRubric, aspect: ResolvedAspect) -> list[Tokens]:
        """The words of a scale, in tokens, where the judge's answer begins.

        Raises:
            AlignlabError: one cannot be told from another, or from the prompt.
        """
        start = self._prompter.render([aspect["label"]], [])
        ids = self._encode(start)
        found: dict[Tokens, str] = {}
        for word in aspect["says"]:
            longer = self._encode(start + word)
            own = tuple(longer[len(ids) :])
            if longer[: len(ids)] != ids or not own or own in found:
                other = repr(found[own]) if own in found else "the end of the prompt"
                raise AlignlabError(
                    f"rubric {rubric['name']}, aspect {aspect['name']}: judge {self.name} cannot "
                    f"tell {word!r} of the scale from {other}: its tokens are the same; choose "
                    "other words, such as digits"
                )
            found[own] = word
        return list(found)
