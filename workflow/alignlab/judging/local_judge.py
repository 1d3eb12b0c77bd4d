"""A judge that is a model of the catalog; scores come from its next-token probabilities.

A score is the expected value over the words of the scale, as in G-Eval (Liu et al. 2023, arXiv
2303.16634, §2), so nothing is generated or parsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from time import perf_counter

from torch import Tensor, tensor

from alignlab.core.errors import AlignlabError
from alignlab.engines.base import Request
from alignlab.engines.config import DecodingConfig
from alignlab.engines.scoring import ScoredQuestion, ScoringEngine, common_beginning
from alignlab.engines.scoring import load as load_engine
from alignlab.judging.cases import Case, Judge, JudgeJob, Score, message
from alignlab.judging.config import LocalJudgeConfig, ResolvedAspect, ResolvedRubric
from alignlab.prompting.chat import prompter
from alignlab.prompting.encode import encoder

# Cases whose prompts are in memory at a time.
WINDOW = 512
# With less probability than this on all words of the scale, the judge was about to say something
# else, and their proportions mean nothing.
MIN_MASS = 0.01
WHY = "Why? Answer in one sentence."

Found = tuple[int, list[Score]]


class LocalJudge:
    """Asks a chat model about each aspect; instructions and answers are computed once."""

    def __init__(self, engine: ScoringEngine, name: str, reason_tokens: int) -> None:
        """Make a judge of a loaded model.

        Args:
            engine: the model.
            name: what messages call it.
            reason_tokens: longest reason that it writes after a score; 0 for none.

        Raises:
            AlignlabError: its tokenizer has no chat template.
        """
        self.engine, self.name, self.reason_tokens = engine, name, reason_tokens
        self.prompter = prompter({}, engine.tokenizer)
        self.encode = encoder(engine.tokenizer, self.prompter)

    def judge(self, rubric: ResolvedRubric, cases: Sequence[Case]) -> Iterator[Found]:
        """See `alignlab.judging.cases.Judge`.

        Raises:
            AlignlabError: a word of a scale is not one token of this model.
        """
        choices = [self._choices(rubric, aspect) for aspect in rubric["aspects"]]
        for at in range(0, len(cases), WINDOW):
            window = cases[at : at + WINDOW]
            yield from ((at + i, scores) for i, scores in self._judge(rubric, window, choices))

    def _judge(
        self, rubric: ResolvedRubric, cases: Sequence[Case], choices: list[list[int]]
    ) -> Iterator[Found]:
        """Rate cases; those that do not fit come first."""
        fitting: list[int] = []
        groups: list[list[ScoredQuestion]] = []
        for index, case in enumerate(cases):
            messages = [message(rubric, case, aspect) for aspect in rubric["aspects"]]
            asked = zip(messages, choices, strict=True)
            group = [ScoredQuestion(self._ids(text), ids) for text, ids in asked]
            if skipped := self._too_long(rubric, group):
                yield index, skipped
            else:
                fitting.append(index)
                groups.append(group)
        if groups:
            yield from self._scored(rubric, cases, fitting, groups)

    def _scored(
        self,
        rubric: ResolvedRubric,
        cases: Sequence[Case],
        fitting: list[int],
        groups: list[list[ScoredQuestion]],
    ) -> Iterator[Found]:
        aspects = rubric["aspects"]
        prefix = common_beginning(groups)
        started = perf_counter()
        for batch in self.engine.score(groups):
            found = [
                (fitting[at], [_score(*pair) for pair in zip(aspects, logprobs, strict=True)])
                for at, logprobs in batch
            ]
            if self.reason_tokens:
                self._add_reasons(rubric, cases, found, prefix)
            seconds = (perf_counter() - started) / (len(batch) * len(aspects))
            for index, scores in found:
                yield index, [replace(score, seconds=seconds) for score in scores]
            started = perf_counter()

    def _add_reasons(
        self, rubric: ResolvedRubric, cases: Sequence[Case], found: list[Found], prefix: list[int]
    ) -> None:
        """Let the judge say why it gave each score, where its window has room for that."""
        requests: list[Request] = []
        places: list[tuple[list[Score], int]] = []
        for index, scores in found:
            for at, aspect in enumerate(rubric["aspects"]):
                ids = self._ids(message(rubric, cases[index], aspect), scores[at].raw)
                if scores[at].status == "scored" and len(ids) < self.engine.context_window:
                    requests.append(Request(ids))
                    places.append((scores, at))
        decoding = DecodingConfig(max_new_tokens=self.reason_tokens)
        answers = self.engine.generate(requests, prefix, decoding, self.prompter.stopping)
        for number, completion in chain.from_iterable(answers):
            scores, at = places[number]
            text = self.engine.tokenizer.decode(completion.token_ids, skip_special_tokens=True)
            scores[at] = replace(scores[at], reason=text.strip())

    def _ids(self, text: str, said: str | None = None) -> list[int]:
        """The conversation up to the judge's word, or up to its reason once the word is said."""
        turns, answers = ([text], []) if said is None else ([text, WHY], [said])
        return self.encode(self.prompter.render(turns, answers))

    def _choices(self, rubric: ResolvedRubric, aspect: ResolvedAspect) -> list[int]:
        """The token ids of a scale's words where the judge's answer begins."""
        start = self.prompter.render([aspect["label"]], [])
        ids = self.encode(start)
        found = []
        for word in aspect["says"]:
            longer = self.encode(start + word)
            if longer[:-1] != ids:
                raise AlignlabError(
                    f"rubric {rubric['name']}, aspect {aspect['name']}: {word!r} of the scale "
                    f"is not one token of judge {self.name}; choose words that are, such as digits"
                )
            found.append(longer[-1])
        return found

    def _too_long(self, rubric: ResolvedRubric, group: list[ScoredQuestion]) -> list[Score] | None:
        """Scores of a case that does not fit with a token to spare."""
        window = self.engine.context_window
        longest = max(len(question.prompt_ids) for question in group)
        if longest < window:
            return None
        raw = f"{longest} tokens do not fit the {window}-token window of {self.name}"
        return [Score(aspect["name"], "skipped", raw=raw) for aspect in rubric["aspects"]]


def _score(aspect: ResolvedAspect, logprobs: Tensor) -> Score:
    """From the log-probabilities of the scale's words, [words]."""
    mass = logprobs.exp().sum().item()
    chances = logprobs.double().softmax(-1)
    said = aspect["says"][int(chances.argmax())]
    if not mass >= MIN_MASS:
        raw = f"the words of the scale have a probability of only {mass:.2g} together"
        return Score(aspect["name"], "unparseable", mass=mass, raw=raw)
    value = (chances @ tensor(aspect["values"], dtype=chances.dtype)).item()
    spread = tuple(chances.tolist())
    return Score(aspect["name"], "scored", value, spread, mass, raw=said)


def load(job: JudgeJob) -> Judge:
    """Load the judge of a job; every judge's module has this function.

    Raises:
        AlignlabError: the model cannot be loaded, or its tokenizer has no chat template.
    """
    entry = job.spec.entry
    assert isinstance(entry, LocalJudgeConfig)
    assert job.spec.engine
    assert job.model
    engine = load_engine(job.model, job.spec.engine.dtype, job.batch_size)
    return LocalJudge(engine, entry.model, entry.reason_tokens)
