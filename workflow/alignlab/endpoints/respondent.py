"""A model behind an endpoint that speaks OpenAI's protocol, as the respondent of an arm.

Every reply is stored as it arrives, so a rerun asks only for what is missing. Token ids are not
known. A refusal with a text is an answer; thoughts alone, or a call that failed, are none. The chat
form sends a conversation, for method `chat`; the completions form sends the text that any other
method renders.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from alignlab.core.templates import Spoken, spoken
from alignlab.endpoints.bodies import Reply
from alignlab.endpoints.client import ApiRequest, ChatApi, ChatRequest, CompletionsRequest
from alignlab.endpoints.config import ApiEngineConfig, EndpointRuntime, Form
from alignlab.endpoints.replies import API_ERROR, NO_ROOM, Budget, Endpoint, Replies
from alignlab.engines.base import Answer, Question
from alignlab.engines.config import DecodingConfig
from alignlab.prompting.build import build_prompter
from alignlab.prompting.chat import conversation
from alignlab.prompting.encode import Stopping

log = logging.getLogger(__name__)

ENDINGS: Mapping[str | None, Any] = {"stop": "eos", "length": "length"}

MAX_STOPS = 4
"""OpenAI takes no more; where others would have ended an answer, it is cut afterwards."""
SEEDS = 2**31
"""Some servers hold a seed in 32 bits."""


class OpenaiRespondent:
    """Puts questions to an endpoint; see `alignlab.engines.base.Respondent`."""

    remembers = True
    plain = ""

    def __init__(self, wording: Wording, api: ChatApi) -> None:
        self.wording, self.api = wording, api
        self.stopping = wording.stopping

    def shown(self, question: Question) -> str:
        """What is sent to be answered."""
        return self.wording.shown(question)

    def answers(self, questions: Iterable[Question]) -> Iterator[list[tuple[int, Answer]]]:
        """Answer questions, stored ones without a call.

        Raises:
            AlignlabError: every call would fail; see `ChatApi.ask`.
        """
        asked: dict[int, str | None] = {}
        requests = self._requests(questions, asked)
        for index, reply in self.api.ask(requests, lambda _, reply: _worth(reply)):
            yield [(index, self._answer(reply, asked.pop(index)))]
        replies = self.api.replies
        used, usd = replies.spent, replies.budget.usd(replies.spent)
        paid = "" if usd is None else f", ${usd:.4f}"
        counted = (replies.path, used.prompt, used.completion, paid)
        log.info("%s: %d tokens sent and %d answered in all runs so far%s", *counted)

    def _requests(
        self, questions: Iterable[Question], asked: dict[int, str | None]
    ) -> Iterator[ApiRequest]:
        """The requests; notes in `asked` the text that each continues, null in the chat form."""
        for index, question in enumerate(questions):
            request = self.wording.request(question)
            asked[index] = getattr(request, "prompt", None)
            yield request

    def _answer(self, reply: Reply, prompt: str | None) -> Answer:
        if reply.outcome == "skipped":
            return Answer("", "error", NO_ROOM, reply.error or "")
        if _worth(reply) < 1:
            ended = f"the answer holds no text (finish_reason {reply.finish_reason})"
            return Answer("", "error", API_ERROR, reply.error or ended)
        filtered = reply.ending == "content_filter"
        # Of a call that was filtered, what stands for a refusal is the endpoint's own words.
        raw = reply.text or (not filtered and reply.refusal) or ""
        trimmed = "content_filter" if filtered else ""
        if filtered and not raw.strip():
            return Answer("", "error", trimmed, reply.refusal or "the endpoint held it back")
        used = reply.usage.completion if reply.usage else None
        said = _with_thoughts(reply, spoken(raw, prompt))
        return Answer(raw, self._ending(reply, said.answer), trimmed, num_tokens=used, spoken=said)

    def _ending(self, reply: Reply, answer: str) -> Any:
        """An answer that had ended before the endpoint cut it off ended well."""
        stopped = self.wording.stop and reply.ending == "stop"
        if stopped or self.stopping.cut(answer)[1]:
            return "stop"
        return ENDINGS.get(reply.ending, "unknown")


def _worth(reply: Reply) -> float:
    """1 if there is nothing more to be had: a refusal is an answer, and no text at all is none.

    An empty text is one only where the endpoint says that the answer ended.
    """
    if reply.outcome != "answered" or reply.ending == "failed":
        return 0
    if reply.ending in ("length", "content_filter"):
        return 1
    texts = [text for text in (reply.text, reply.refusal) if text is not None]
    if reply.ending == "stop":
        return float(bool(texts or reply.thoughts))
    return float(any(map(str.strip, texts)))


def _with_thoughts(reply: Reply, said: Spoken) -> Spoken:
    """With the thoughts that came apart from the text; without any text they had no end.

    Of OpenAI's and Gemini's models they stay hidden: where the limit was used up and nothing came,
    they used it.
    """
    if reply.thoughts is None:
        hidden = reply.ending == "length" and not (reply.text or reply.refusal)
        return said._replace(unfinished=True) if hidden else said
    thoughts = "\n\n".join(part for part in (reply.thoughts.strip(), said.thoughts) if part)
    unsaid = reply.text is None and reply.refusal is None
    return Spoken(thoughts, said.answer, unfinished=said.unfinished or unsaid)


def respondent(
    wording: Wording, engine: ApiEngineConfig, runtime: EndpointRuntime, replies: Path
) -> OpenaiRespondent:
    """The respondent of an arm whose model is behind an endpoint.

    Args:
        wording: how its questions are put.
        engine: which model is asked, and where.
        runtime: how it is asked, and what that may cost.
        replies: the file that keeps every reply.

    Raises:
        AlignlabError: no key, no http(s) address, or `max_usd` without a `price`.
    """
    kept = Replies(replies, Budget(runtime.price, runtime.max_usd))
    api = ChatApi(Endpoint.of({**dict(engine), **dict(runtime)}), kept)
    return OpenaiRespondent(wording, api)


class Wording:
    """How questions are put to the model: as messages, or as a text.

    Attributes:
        stopping: where an answer ends.
        stop: strings at which the endpoint itself ends an answer.
    """

    def __init__(
        self,
        method: Mapping[str, Any],
        decoding: DecodingConfig,
        form: Form,
        embedder: Path | None,
    ) -> None:
        """Make it from a resolved method; retrieval needs the folder of its embedding model."""
        self.method, self.decoding = method, decoding
        renders = form == "completions"
        self.prompter = build_prompter(method, None, embedder) if renders else None
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
