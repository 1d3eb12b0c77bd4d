"""A model that is loaded here, under a prompting method: text to token ids, and back.

snakemake --cores 2 --until generate_responses
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from alignlab.engines.base import Answer, Completion, Engine, Question, Request
from alignlab.engines.config import DecodingConfig
from alignlab.prompting.encode import Prompter, encoder, shared_prefix


class LocalRespondent:
    """Puts questions to an engine; see `alignlab.engines.base.Respondent`."""

    remembers = False

    def __init__(self, engine: Engine, prompter: Prompter, decoding: DecodingConfig) -> None:
        self.engine, self.prompter, self.decoding = engine, prompter, decoding
        self.stopping = prompter.stopping
        self.encode = encoder(engine.tokenizer, prompter)
        self.prefix = shared_prefix(prompter, self.encode)

    def shown(self, question: Question) -> str:
        """The rendered prompt."""
        return self.prompter.render(question.turns, question.answers)

    def answers(self, questions: Iterable[Question]) -> Iterator[list[tuple[int, Answer]]]:
        """Answer questions; those that do not fit the context window come first."""
        fitting: list[tuple[int, Request]] = []
        too_long: list[tuple[int, Answer]] = []
        for index, question in enumerate(questions):
            request = Request(self.encode(self.shown(question)), question.seed)
            if len(request.prompt_ids) >= self.engine.context_window:
                too_long.append((index, self._too_long(request)))
            else:
                fitting.append((index, request))
        if too_long:
            yield too_long
        requests = [request for _, request in fitting]
        batches = self.engine.generate(requests, self.prefix, self.decoding, self.stopping)
        for batch in batches:
            yield [(fitting[at][0], self._answer(requests[at], done)) for at, done in batch]

    def _answer(self, request: Request, done: Completion) -> Answer:
        return Answer(
            raw=self.engine.tokenizer.decode(done.token_ids, skip_special_tokens=True),
            finish_reason=done.finish_reason,
            prompt_ids=request.prompt_ids,
            token_ids=done.token_ids,
            num_tokens=len(done.token_ids),
        )

    def _too_long(self, request: Request) -> Answer:
        window = self.engine.context_window
        return Answer(
            raw="",
            finish_reason="error",
            trimmed="prompt_too_long",
            said=f"{len(request.prompt_ids)} tokens do not fit a window of {window}",
            prompt_ids=request.prompt_ids,
        )
