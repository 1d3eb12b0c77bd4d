"""A judge that is a model of the catalog; scores come from its next-token probabilities.

A score is the expected value over the words of the scale, as in G-Eval (Liu et al. 2023, arXiv
2303.16634, §2), so nothing is generated or parsed.

The probability of a word is the product over its tokens. Where another word of the scale goes on
from it, as "10" from "1", it is the probability of all that begins with the shorter word and not
with the longer one: P("1") − P("10"). So words exclude each other, and a word that no other goes on
from counts whatever follows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from time import perf_counter

from torch import Tensor, stack, tensor, zeros

from alignlab.engines.base import Request
from alignlab.engines.config import DecodingConfig
from alignlab.engines.scoring import ScoredQuestion, ScoringEngine, common_beginning
from alignlab.engines.scoring import load as load_engine
from alignlab.judging.cases import Case, Judge, JudgeJob, Score, message
from alignlab.judging.config import LocalJudgeConfig, ResolvedAspect, ResolvedRubric
from alignlab.judging.local_wording import LocalWording, Tokens

# Cases whose prompts are in memory at a time.
WINDOW = 512
# With less probability than this on all words of the scale, the judge was about to say something
# else, and their proportions mean nothing.
MIN_MASS = 0.01

Found = tuple[int, list[Score]]


class Words:
    """The words of a scale as a tree of tokens: after each beginning of a word, what may follow."""

    def __init__(self, words: Sequence[Tokens]) -> None:
        """Make the tree of different words, each of at least one token."""
        self.words = words
        self.following: dict[Tokens, list[int]] = {}
        for word in words:
            for at, token in enumerate(word):
                choices = self.following.setdefault(word[:at], [])
                if token not in choices:
                    choices.append(token)

    def questions(self, prompt_ids: list[int]) -> list[ScoredQuestion]:
        """What to ask after a prompt: one question for each beginning of a word."""
        return [ScoredQuestion([*prompt_ids, *said], ids) for said, ids in self.following.items()]

    def logprobs(self, found: Iterator[Tensor]) -> Tensor:
        """Log-probability of each word and of no longer one that goes on from it, [words].

        Args:
            found: of each of `questions`, log-probabilities of its choices.
        """
        chances: dict[Tokens, Tensor] = {(): zeros(())}
        for (said, choices), row in zip(self.following.items(), found, strict=True):
            chances |= {(*said, id_): chances[said] + row[at] for at, id_ in enumerate(choices)}
        return stack([self._alone(word, chances) for word in self.words])

    def _alone(self, word: Tokens, chances: dict[Tokens, Tensor]) -> Tensor:
        longer = [other for other in self.words if other != word and other[: len(word)] == word]
        next_ones = [
            one
            for one in longer
            if not any(one != two and one[: len(two)] == two for two in longer)
        ]
        if not next_ones:
            return chances[word]
        share = stack([chances[one] - chances[word] for one in next_ones]).exp().sum()
        return chances[word] + (-share.clamp(max=1)).log1p()


class LocalJudge:
    """Asks a chat model about each aspect; instructions and answers are computed once."""

    def __init__(self, engine: ScoringEngine, name: str, reason_tokens: int) -> None:
        """Make a judge of a loaded model.

        Args:
            engine: the model.
            name: what messages call it.
            reason_tokens: longest reason that it writes after a score; 0 for none.

        Raises:
            AlignlabError: see `LocalWording`.
        """
        self.engine, self.reason_tokens = engine, reason_tokens
        self.wording = LocalWording(engine.tokenizer, name)

    def judge(self, rubric: ResolvedRubric, cases: Sequence[Case]) -> Iterator[Found]:
        """See `alignlab.judging.cases.Judge`.

        Raises:
            AlignlabError: a word of a scale cannot be told from another, or from the prompt.
        """
        scales = [Words(self.wording.words(rubric, aspect)) for aspect in rubric["aspects"]]
        for at in range(0, len(cases), WINDOW):
            window = cases[at : at + WINDOW]
            yield from ((at + i, scores) for i, scores in self._judge(rubric, window, scales))

    def _judge(
        self, rubric: ResolvedRubric, cases: Sequence[Case], scales: list[Words]
    ) -> Iterator[Found]:
        """Rate cases; those that do not fit come first."""
        fitting: list[int] = []
        groups: list[list[ScoredQuestion]] = []
        for index, case in enumerate(cases):
            messages = [message(rubric, case, aspect) for aspect in rubric["aspects"]]
            asked = zip(messages, scales, strict=True)
            group = [
                one for text, words in asked for one in words.questions(self.wording.ids(text))
            ]
            if skipped := self._too_long(rubric, group):
                yield index, skipped
            else:
                fitting.append(index)
                groups.append(group)
        if groups:
            yield from self._scored(rubric, cases, scales, fitting, groups)

    def _scored(
        self,
        rubric: ResolvedRubric,
        cases: Sequence[Case],
        scales: list[Words],
        fitting: list[int],
        groups: list[list[ScoredQuestion]],
    ) -> Iterator[Found]:
        aspects = rubric["aspects"]
        prefix = common_beginning(groups)
        started = perf_counter()
        for batch in self.engine.score(groups):
            found = [
                (fitting[at], list(map(_score, aspects, _by_word(scales, logprobs))))
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
                ids = self.wording.ids(message(rubric, cases[index], aspect), scores[at].raw)
                if scores[at].status == "scored" and len(ids) < self.engine.context_window:
                    requests.append(Request(ids))
                    places.append((scores, at))
        decoding = DecodingConfig(max_new_tokens=self.reason_tokens)
        answers = self.engine.generate(requests, prefix, decoding, self.wording.stopping)
        for number, completion in chain.from_iterable(answers):
            scores, at = places[number]
            said = self.wording.markup.spoken(completion.token_ids, requests[number].prompt_ids)
            scores[at] = replace(scores[at], reason=said.answer.strip() or None)

    def _too_long(self, rubric: ResolvedRubric, group: list[ScoredQuestion]) -> list[Score] | None:
        """Scores of a case that does not fit with a token to spare."""
        window = self.engine.context_window
        longest = max(len(question.prompt_ids) for question in group)
        if longest < window:
            return None
        raw = f"{longest} tokens do not fit the {window}-token window of {self.wording.name}"
        return [Score(aspect["name"], "skipped", raw=raw) for aspect in rubric["aspects"]]


def _by_word(scales: list[Words], logprobs: list[Tensor]) -> Iterator[Tensor]:
    """Log-probabilities of the words of each aspect's scale, of what its questions found."""
    left = iter(logprobs)
    return (words.logprobs(islice(left, len(words.following))) for words in scales)


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
