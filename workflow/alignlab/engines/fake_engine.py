"""A deterministic engine for tests: no weights, but a real tokenizer, fences and headers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from alignlab.engines.base import Completion, Request
from alignlab.engines.config import DecodingConfig
from alignlab.prompting.encode import Stopping

WORDS = ("yes", "no", "well", "water", "seven", "because", "sorry", "listen", "however", "thanks")


class FakeEngine:
    """Answers with a few words the prompt decides, closes the fence, and asks itself a question."""

    plain = ""

    def __init__(self, folder: Path, batch_size: int, adapter: Path | None) -> None:
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            adapter or folder, trust_remote_code=False
        )
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "max_position_embeddings" not in config:  # says it in other words, or by default
            config = {"max_position_embeddings": _window(folder)}
        self.context_window = int(config["max_position_embeddings"])
        self.batch_size = batch_size

    def generate(
        self,
        requests: Sequence[Request],
        prefix: Sequence[int],
        decoding: DecodingConfig,
        stopping: Stopping,
    ) -> Iterator[list[tuple[int, Completion]]]:
        """See `Engine.generate`."""
        del prefix
        tail = self.tokenizer("\n```\n\n# Query:", add_special_tokens=False).input_ids
        for at in range(0, len(requests), self.batch_size):
            batch = requests[at : at + self.batch_size]
            yield [(at + i, self._answer(r, tail, decoding, stopping)) for i, r in enumerate(batch)]

    def _answer(
        self, request: Request, tail: list[int], decoding: DecodingConfig, stopping: Stopping
    ) -> Completion:
        start = sum(request.prompt_ids) + (request.seed or 0)
        words = [WORDS[(start + i * i) % len(WORDS)] for i in range(2 + start % 4)]
        said = self.tokenizer(" ".join(words), add_special_tokens=False).input_ids
        ids = [*said, *tail][: decoding.max_new_tokens]
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return Completion(ids, "stop" if stopping.cut(text)[1] else "length")


def _window(folder: Path) -> int:
    from alignlab.engines.equality import context_window  # torch takes seconds to import

    return context_window(AutoConfig.from_pretrained(folder, trust_remote_code=False), folder)


def load(folder: Path, dtype: str, batch_size: int, adapter: Path | None = None) -> FakeEngine:
    """Load a tokenizer, the adapter's if there is one; every engine module has this function."""
    del dtype
    return FakeEngine(folder, batch_size, adapter)
