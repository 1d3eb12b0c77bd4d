"""The model's own chat template, with or without a system message.

The template comes from the tokenizer, or from the catalog where the tokenizer's is missing or
wrong; it is never guessed from a model's name. Before anything is asked, a conversation of unique
marks is rendered: each turn must stand in it, in order, and the prompt must open an answer. What
the template writes after an answer is what ends one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from alignlab.core.errors import AlignlabError
from alignlab.prompting.encode import Prompt, Stopping, guided

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = list[dict[str, str]]

MARK = "\ue000{}\ue001"
MARKS = re.compile("\ue000(\\d+)\ue001")
QUESTION, ANSWER, FOLLOW_UP = "first question", "first answer", "second question"
# Today of templates that write the date: the one that Llama 3's falls back on.
TODAY = datetime(2024, 7, 26)
TODAY_CALLED = re.compile(r"""\bstrftime_now\s*\(\s*(["'])(.*?)\1\s*\)""")
# A template is code that somebody else wrote.
FAILURES = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
WHAT_TO_DO = "set `chat_template` for this model in config/catalog/models.yaml"


@dataclass(frozen=True)
class ChatPrompter:
    """Renders conversations through the tokenizer's chat template.

    Attributes:
        settings: variables of the template, such as `enable_thinking`.
        parts: contents are given as lists of parts, for templates that read no others.
    """

    tokenizer: PreTrainedTokenizerBase
    system: str | None = None
    guidance: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    parts: bool = False
    stopping: Stopping = Stopping()
    templated: bool = True

    def render(self, turns: Sequence[str], answers: Sequence[str]) -> Prompt:
        """The conversation up to the start of the answer to `turns[len(answers)]`.

        Raises:
            AlignlabError: the template refuses it, drops a turn or alters more of it than the
                white space around it and a model's reasoning.
        """
        messages = conversation(self.system, self.guidance, turns, answers)
        text, written = self._rendered(messages), self._written(messages)
        said, at = [], len(written[0])
        for message, after in zip(_filled(messages), written[1:], strict=True):
            kept = next((v for v in _kept(message) if text.startswith(v + after, at)), None)
            if kept is None:
                raise self._fault(
                    f"alters the {message['role']}'s turn {message['content'][:80]!r}: {text!r}"
                )
            said.append((at, at + len(kept)))
            at += len(kept + after)
        return Prompt.of(text, said)

    def checked(self) -> ChatPrompter:
        """The same prompter, knowing what ends an answer.

        Raises:
            AlignlabError: the template refuses or drops a turn, or opens no answer.
        """
        messages = conversation(self.system, None, [QUESTION, FOLLOW_UP], [ANSWER])
        *_, opened, closed, prompt = self._written(messages)
        unasked = self._written(messages, add_generation_prompt=False)[-1]
        if prompt == unasked and not prompt.startswith(opened.rstrip()):
            raise self._fault(
                f"ignores add_generation_prompt: a prompt ends with {prompt!r} and opens no "
                f"assistant's turn, which begins with {opened!r}"
            )
        return replace(self, stopping=_ending(self.tokenizer, closed))

    def _written(self, messages: Messages, add_generation_prompt: bool = True) -> list[str]:
        """What the template writes before, between and after the turns that say something."""
        marks = {id(message): MARK.format(at) for at, message in enumerate(_filled(messages))}
        marked = [{**m, "content": marks.get(id(m), m["content"])} for m in messages]
        text = self._rendered(marked, add_generation_prompt)
        written = MARKS.split(text)
        for at, message in enumerate(_filled(messages)):
            if written[2 * at + 1 : 2 * at + 2] != [str(at)]:
                what = "repeats or reorders" if MARK.format(at) in text else "drops"
                role = message["role"]
                turn = "system text" if role == "system" else f"{role}'s turn"
                raise self._fault(f"{what} the {turn}: {MARKS.sub('[turn]', text)!r}")
        if len(written) != 2 * len(marks) + 1:
            raise self._fault(f"repeats a turn: {MARKS.sub('[turn]', text)!r}")
        return written[::2]

    def _rendered(self, messages: Messages, add_generation_prompt: bool = True) -> str:
        given: list[dict[str, Any]] = [
            {**m, "content": [{"type": "text", "text": m["content"]}]} if self.parts else {**m}
            for m in messages
        ]
        try:
            return self.tokenizer.apply_chat_template(
                given,
                chat_template=self._undated(),
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **self.settings,
            )
        except FAILURES as error:
            raise self._fault(f"refuses a conversation: {error}") from error

    def _undated(self) -> str:
        """The template with `TODAY` where it asks for the time: prompts must not change by it."""
        template = self.tokenizer.get_chat_template()
        found = TODAY_CALLED.sub(lambda call: repr(TODAY.strftime(call[2])), template)
        if re.search(r"\bstrftime_now\s*\(", found):
            raise self._fault("asks for the time in a form that is not known, so prompts change")
        return found

    def _fault(self, what: str) -> AlignlabError:
        return AlignlabError(
            f"{self.tokenizer.name_or_path}: the chat template {what}; {WHAT_TO_DO}"
        )


def conversation(
    system: str | None, guidance: str | None, turns: Sequence[str], answers: Sequence[str]
) -> Messages:
    """The messages up to `turns[len(answers)]`, each with `role` and `content`."""
    messages = [{"role": "system", "content": system}] if system else []
    asked = guided(turns, guidance)[: len(answers) + 1]
    for turn, answer in zip(asked, [*answers, None], strict=True):
        messages.append({"role": "user", "content": turn})
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
    return messages


def prompter(method: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> ChatPrompter:
    """From a resolved method.

    Raises:
        AlignlabError: the tokenizer has no chat template, or one that does not render what is
            said, its system text among it, or that reads no variable of that name.
    """
    if not tokenizer.chat_template:
        raise AlignlabError(
            f"{tokenizer.name_or_path}: the tokenizer has no chat template; set `chat_template` "
            "for this model in config/catalog/models.yaml, or use another method"
        )
    settings = method.get("chat_template_kwargs", {})
    for name in settings:
        if not re.search(rf"\b{re.escape(name)}\b", str(tokenizer.chat_template)):
            raise AlignlabError(
                f"{tokenizer.name_or_path}: chat_template_kwargs: the chat template has no "
                f"variable {name!r}; leave it out, or {WHAT_TO_DO}"
            )
    given = ChatPrompter(tokenizer, method.get("system"), method.get("guidance"), settings)
    try:
        return _in_a_form(given)
    except AlignlabError as error:
        if given.system is None or not _works(replace(given, system=None)):
            raise
        raise AlignlabError(
            f"{tokenizer.name_or_path}: the chat template takes no system text ({error}); leave "
            "`system` out, or set a `chat_template` that has a place for it"
        ) from error


def _in_a_form(given: ChatPrompter) -> ChatPrompter:
    """With contents as texts, or as lists of parts if the template reads only those."""
    try:
        return given.checked()
    except AlignlabError as error:
        try:
            return replace(given, parts=True).checked()
        except AlignlabError:
            raise error from None


def _works(given: ChatPrompter) -> bool:
    try:
        _in_a_form(given)
    except AlignlabError:
        return False
    return True


def _filled(messages: Messages) -> Messages:
    """The messages that say something: templates write others in a way of their own."""
    return [message for message in messages if message["content"].strip()]


def _kept(message: dict[str, str]) -> Iterator[str]:
    """What a template may keep of a message: white space around it, and reasoning, are its own."""
    said = message["content"]
    yield from (said, said.strip(), said.lstrip(), said.rstrip())
    if message["role"] == "assistant" and "</think>" in said:
        answer = said.rpartition("</think>")[2]
        yield from (answer, answer.lstrip("\n"), answer.strip())


def _ending(tokenizer: PreTrainedTokenizerBase, closed: str) -> Stopping:
    """What ends an answer, from what the template writes between it and the next question.

    A token; a line's beginning; or a text that goes on in the answer's last line. A BOS that opens
    the next turn ends nothing. In Harmony's format `<|end|>` closes each channel, thoughts too, and
    the model's generation config has what ends the turn (`<|return|>`).
    """
    added = [
        (token.content, id_, token.special)
        for id_, token in tokenizer.added_tokens_decoder.items()
        if token.content.strip()
    ]
    places = [(closed.index(t), -len(t), t, id_, s) for t, id_, s in added if t in closed]
    at, _, token, id_, special = min(places, default=(len(closed), 0, "", None, True))
    if text := closed[:at].strip():
        line = text.splitlines()[0].rstrip()
        before = closed[: closed.index(line)]
        return Stopping(strings=(line,)) if "\n" in before else Stopping(ends=(before + line,))
    bos = tokenizer.bos_token_id
    closes_channels = token == "<|end|>" and any(name == "<|channel|>" for name, *_ in added)
    if id_ is None or closes_channels or (id_ == bos and bos != tokenizer.eos_token_id):
        return Stopping()
    # An ordinary token stays in the answer's text, which it ends.
    return Stopping(tokens=(id_,), ends=() if special else (token,))
