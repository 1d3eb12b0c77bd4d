"""How an arm's questions are put to a model behind an endpoint: as messages, or as a text.

    snakemake --cores 2 --until generate_responses      # the log opens with the first one

Chat form sends a conversation, for method `chat`; completions form the text that any other method
renders.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alignlab.endpoints.protocol import ApiRequest, ChatRequest, CompletionsRequest
from alignlab.engines.base import Question
from alignlab.engines.config import DecodingConfig
from alignlab.prompting.build import build_prompter
from alignlab.prompting.chat import conversation
from alignlab.prompting.stopping import Stopping

MAX_STOPS = 4
"""OpenAI takes no more; where others would have ended an answer, it is cut afterwards."""
SEEDS = 2**31
"""Some servers hold a seed in 32 bits."""


class Wording:
    """Turns questions into requests.

    Attributes:
        stopping: where an answer ends.
        stop: strings at which the endpoint itself ends an answer.
    """

    def __init__(self, spec: Mapping[str, Any], embedder: Path | None) -> None:
        """Make it from an arm's slice and the folder of the embedding model, for retrieval."""
        self.method = spec["method"]
        self.decoding = DecodingConfig.model_validate(spec["decoding"])
        renders = spec["engine"]["form"] == "completions"
        self.prompter = build_prompter(self.method, None, embedder) if renders else None
        self.stopping = self.prompter.stopping if self.prompter else Stopping()
        # A stop string counts at the start of a line only: "# Query:" may stand inside one.
        self.stop = tuple(f"\n{string}" for string in self.stopping.strings[:MAX_STOPS])

    def shown(self, question: Question) -> str:
        """What the model reads: the text, or the messages as JSON."""
        if self.prompter:
            return self.prompter.render(question.turns, question.answers)
        return json.dumps(self._messages(question), ensure_ascii=False, indent=1)

    def request(self, question: Question) -> ApiRequest:
        """What is sent."""
        sampled = self.decoding.temperature > 0
        told: dict[str, Any] = {
            "max_tokens": self.decoding.max_new_tokens,
            "temperature": self.decoding.temperature,
            "top_p": self.decoding.top_p if sampled else None,
            "seed": None if question.seed is None else question.seed % SEEDS,
            "repeat": question.sample,
        }
        if self.prompter:
            return CompletionsRequest(self.shown(question), self.stop, **told)
        return ChatRequest(self._messages(question), **told)

    def _messages(self, question: Question) -> list[dict[str, str]]:
        system, guidance = self.method.get("system"), self.method.get("guidance")
        return conversation(system, guidance, question.turns, question.answers)
