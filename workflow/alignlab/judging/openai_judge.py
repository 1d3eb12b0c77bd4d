"""A judge behind an endpoint that speaks OpenAI's chat protocol: one call a case, for all aspects.

It gives a reason before each score, as just-eval's judge does (URIAL, Lin et al., arXiv 2312.01552,
App. D). A reply counts only if it is of the rubric's form or plainly means it: `4.0` or `4/5` on a
scale up to 5, a comma too many. Such a score is marked as repaired; nothing is guessed.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from alignlab.core.templates import spoken
from alignlab.endpoints.bodies import Reply
from alignlab.endpoints.client import ApiRequest, ChatApi, ChatRequest
from alignlab.endpoints.config import RUNTIME
from alignlab.endpoints.replies import Budget, Endpoint, Replies
from alignlab.judging.cases import Case, Judge, JudgeJob, Score, Status, case_text, instructions
from alignlab.judging.config import ApiJudgeConfig, ResolvedRubric

FORM = (
    "Reply with one JSON object of this form and nothing else. First the reason, in a sentence or "
    'two, then the score: one of the words between the "|", exactly as it stands there.'
)

# Other keys in a reply do no harm, but an endpoint that follows a schema is asked for none.
CLOSED = ConfigDict(json_schema_extra={"additionalProperties": False})


NUMBER = r"([0-9]+)(?:\.0*)?"
SHARE = re.compile(rf"{NUMBER}(?:\s*/\s*{NUMBER})?")
# What judges write and JSON does not know, outside its strings: `,}`, `4.` and `4/5`.
SLIPS = re.compile(
    r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|(?P<cut>,(?=\s*[}\]])|(?<=[0-9])\.(?=\s*[,}\]]))'
    r"|(?P<share>(?<=[:\s])[0-9.]+\s*/\s*[0-9.]+(?=\s*[,}\]]))",
    re.DOTALL,
)


class OpenaiJudge:
    """Rates cases through an endpoint.

    The n-th case with the same text is its n-th repeat, and is asked for on its own. So a table's
    cases must come in the same order, and from the first on, whenever its job runs.
    """

    def __init__(self, api: ChatApi, structured: str, max_tokens: int) -> None:
        self.api, self.structured, self.max_tokens = api, structured, max_tokens
        self._asked: Counter[int] = Counter()

    def judge(
        self, rubric: ResolvedRubric, cases: Sequence[Case]
    ) -> Iterator[tuple[int, list[Score]]]:
        """See `alignlab.judging.cases.Judge`.

        Raises:
            AlignlabError: every call would fail; see `ChatApi.ask`.
        """
        form = Form(rubric)
        requests = self._requests(rubric, form, cases)
        for index, reply in self.api.ask(requests, partial(_worth, form)):
            scores = form.scores(reply, _shown(rubric, cases[index]))
            usd = self.api.replies.budget.usd(reply.usage) if reply.usage else None
            yield index, [_shared(score, usd, reply.seconds, len(scores)) for score in scores]

    def _requests(
        self, rubric: ResolvedRubric, form: Form, cases: Sequence[Case]
    ) -> Iterator[ChatRequest]:
        opening = _system(rubric, form)
        response_format = form.response_format(self.structured)
        for case in cases:
            text = _shown(rubric, case)
            same = hash((rubric["name"], text))
            yield ChatRequest(
                messages=[opening, {"role": "user", "content": text}],
                max_tokens=self.max_tokens,
                response_format=response_format,
                repeat=self._asked[same],
            )
            self._asked[same] += 1


class Form:
    """What a reply to a rubric must look like, as pydantic models, and how it is read."""

    def __init__(self, rubric: ResolvedRubric) -> None:
        self.verdicts = {aspect["name"]: _verdict(aspect["says"]) for aspect in rubric["aspects"]}
        self.values = {
            aspect["name"]: dict(zip(aspect["says"], aspect["values"], strict=True))
            for aspect in rubric["aspects"]
        }

    def in_words(self) -> str:
        """What the judge reads about it, in every mode."""
        example = {
            name: {"reason": "...", "score": " | ".join(values)}
            for name, values in self.values.items()
        }
        return f"{FORM}\n{json.dumps(example, ensure_ascii=False, indent=1)}"

    def response_format(self, structured: str) -> dict[str, Any] | None:
        """The parameter of the call for a judge's `structured`."""
        if structured == "none":
            return None
        if structured == "json_object":
            return {"type": "json_object"}
        # Names of aspects are aliases: they need not be names of Python.
        fields: dict[str, Any] = {
            f"aspect_{at}": (verdict, Field(alias=name))
            for at, (name, verdict) in enumerate(self.verdicts.items())
        }
        whole = create_model("Judgement", __config__=CLOSED, **fields)
        schema = {"name": "judgement", "strict": True, "schema": whole.model_json_schema()}
        return {"type": "json_schema", "json_schema": schema}

    def scores(self, reply: Reply, shown: str) -> list[Score]:
        """A score for every aspect, without its share of cost and time.

        What the reply quotes of the case that was `shown` is no verdict on it, nor are thoughts.
        """
        status, raw = _status(reply)
        if status != "scored":
            return [Score(name, status, raw=raw) for name in self.verdicts]
        said = spoken(raw).answer
        asked, mended = _objects(said, shown), _mended(said)
        found = asked if mended == said else [*asked, *_objects(mended, shown)]
        return [self._score(name, asked, found, raw) for name in self.verdicts]

    def _score(
        self, name: str, asked: list[dict[str, Any]], found: list[dict[str, Any]], raw: str
    ) -> Score:
        """The one score that a reply gives an aspect; two different ones are none.

        Objects as they were `asked` for are among those `found` once its slips are mended.
        """
        given = [v for o in found if (v := self._verdict(name, self._plain(name, o.get(name))))]
        if len({verdict["score"] for verdict in given}) != 1:
            return Score(name, "unparseable", raw=raw)
        value = self.values[name][given[-1]["score"]]
        # JSON can spell half a letter, which no table can hold.
        reason = given[-1]["reason"].encode(errors="replace").decode()
        repaired = not any(self._verdict(name, o.get(name)) for o in asked)
        return Score(name, "scored", value, reason=reason, raw=raw, repaired=repaired)

    def _verdict(self, name: str, given: Any) -> dict[str, Any] | None:
        try:
            return self.verdicts[name].model_validate(given).model_dump()
        except ValidationError:
            return None

    def _plain(self, name: str, given: Any) -> Any:
        """A verdict whose score is a number of the scale, if it says that and its most only."""
        says = list(self.values[name])
        score = given.get("score") if isinstance(given, dict) else None
        match = SHARE.fullmatch(score.strip()) if isinstance(score, str) else None
        if not match or not all(say.isdecimal() for say in says):
            return given
        return given if match[2] not in (None, max(says, key=int)) else {**given, "score": match[1]}


def fixed_text(rubric: ResolvedRubric, structured: str) -> str:
    """What every call of a rubric sends in addition to its case.

    Args:
        rubric: as a judge reads it.
        structured: as an entry of the catalog says it.
    """
    form = Form(rubric)
    sent = [_system(rubric, form), rubric["case"], form.response_format(structured)]
    return json.dumps(sent, ensure_ascii=False)


def load(job: JudgeJob) -> Judge:
    """The judge of a job; see `judge_at`."""
    entry, runtime = job.spec.entry, job.place.runtime
    assert isinstance(entry, ApiJudgeConfig)
    assert runtime
    told = {name: value for name, value in runtime if name in RUNTIME}
    return judge_at(entry.model_copy(update=told), job.replies, runtime.max_usd)


def judge_at(entry: ApiJudgeConfig, replies: Path, max_usd: float | None = None) -> OpenaiJudge:
    """A judge of the catalog.

    Args:
        entry: the catalog's.
        replies: file of its replies; a reply in it that was scored is not asked for again.
        max_usd: what all of them may cost, in US dollars.

    Raises:
        AlignlabError: no key, no http(s) address, or `max_usd` without a `price`.
    """
    kept = Replies(replies, Budget(entry.price, max_usd))
    api = ChatApi(Endpoint.of(dict(entry)), kept)
    return OpenaiJudge(api, entry.structured, entry.max_tokens)


def _verdict(says: Sequence[str]) -> type[BaseModel]:
    """`{reason, score}`, with the scale's words for scores, whatever their case, or as numbers."""
    words = {say.casefold(): say for say in says}

    def word(given: Any) -> Any:
        if isinstance(given, float) and given.is_integer():
            given = int(given)
        plain = isinstance(given, str | int | float) and not isinstance(given, bool)
        return words.get(str(given).strip().casefold(), given) if plain else given

    score: Any = Annotated[Literal[tuple(says)], BeforeValidator(word)]
    return create_model("Verdict", __config__=CLOSED, reason=(str, ...), score=(score, ...))


def _system(rubric: ResolvedRubric, form: Form) -> dict[str, str]:
    text = f"{instructions(rubric).strip()}\n\n{form.in_words()}"
    return {"role": "system", "content": text}


def _status(reply: Reply) -> tuple[Status, str]:
    """How a call ended, as far as is known without the rubric, and what is shown of it."""
    said = reply.text or ""
    if reply.outcome == "skipped":
        return "skipped", reply.error or ""
    if reply.outcome == "failed" or reply.ending == "failed":
        return "api_error", reply.error or f"finish_reason {reply.finish_reason}: {said}"
    if reply.refusal or reply.ending == "content_filter":
        return "refused", reply.refusal or said
    return ("unparseable" if reply.ending == "length" else "scored"), said


def _shown(rubric: ResolvedRubric, case: Case) -> str:
    """The case as it is sent."""
    return case_text(rubric, case).strip()


def _worth(form: Form, request: ApiRequest, reply: Reply) -> float:
    """Share of the aspects that a reply gives a score."""
    scores = form.scores(reply, request.content()["messages"][-1]["content"])
    return sum(score.status == "scored" for score in scores) / len(scores)


def _objects(text: str, shown: str) -> list[dict[str, Any]]:
    """The JSON objects that stand in a text, in order, whatever stands around them.

    One that stands in what was `shown`, too, whatever its white space and slips, is a quotation and
    left out.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    found: list[dict[str, Any]] = []
    quotable = _bare(shown)
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
            if _bare(text[at:end]) not in quotable:
                found.append(value)
            at = end
        except RecursionError:
            break
        except ValueError:
            at += 1
        at = text.find("{", at)
    return found


def _bare(text: str) -> str:
    """Without what differs between a text and the same with its slips mended."""
    return re.sub(r'[\s,."]', "", text)


def _mended(text: str) -> str:
    """With its slips mended, from the first object on: before it, a quote may stand alone."""
    start = max(0, text.find("{"))

    def mended(found: re.Match[str]) -> str:
        if share := found["share"]:
            return f'"{share}"'
        return "" if found["cut"] else found[0]

    return text[:start] + SLIPS.sub(mended, text[start:])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in an object, so it says two things")
    return found


def _shared(score: Score, usd: float | None, seconds: float, aspects: int) -> Score:
    """With its share of what the call for all aspects took."""
    cost = None if usd is None else usd / aspects
    return replace(score, cost_usd=cost, seconds=seconds / aspects)
