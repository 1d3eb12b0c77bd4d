"""Training sets from mistakes: a function per recipe, and the job that writes the table `trainset`.

Sources: Learning from Mistakes (arXiv 2310.10477 §4), Chain of Hindsight (2302.02676 §3),
Constitutional AI (2212.08073 §3.1), DPO (2305.18290). `lfm-guided`, `lfm-tag` and `lfm-shuffled`
are our controls: for the missing guidance, for the reasons, and for the extra text.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import model_validator

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.core.templates import fill
from alignlab.learning.config import RECIPES
from alignlab.learning.questions import analyses_of
from alignlab.metrics.refusal import hijacked
from alignlab.metrics.words import echo, words
from alignlab.planning.artefact import Job, Spec

log = logging.getLogger(__name__)
# Share of an analysis's 4-grams that stand in the mistake.
ECHOES = 0.8
Said = Mapping[str, str]


class TrainsetSpec(Spec):
    """What a training set is made by.

    Attributes:
        trainset: its name.
        recipe: one of `MAKERS`.
        take: how many mistakes are used; all for none.
        seed: of what is drawn among mistakes.
        question: under which analyses stand, with {instruction} and {response}.
        texts: other texts that the recipe reads, by name.
    """

    trainset: str
    recipe: str
    take: int | None = None
    seed: int = 0
    question: str = ""
    texts: dict[str, str] = {}

    @model_validator(mode="after")
    def _has_what_its_recipe_reads(self) -> TrainsetSpec:
        recipe = RECIPES[self.recipe]
        missing = [name for name in recipe.texts if name not in self.texts]
        missing += ["question"] if recipe.question and not self.question else []
        if missing:
            raise ValueError(f"recipe {self.recipe} reads what is not there: {', '.join(missing)}")
        return self


def answer(prompt: Row) -> Row | None:
    """An ordinary question with its good answer; none where the dataset has no reference."""
    if not prompt["reference"]:
        return None
    return _example("answer", prompt["prompt_id"], prompt["prompt_id"], prompt["turns"][0]) | {
        "completion": [prompt["reference"]]
    }


def good(mistake: Row) -> Row | None:
    """The question that led to a mistake, with a good answer, where one is known."""
    return _of("good", mistake, mistake["instruction"], [mistake["good"]])


def sft(mistakes: Sequence[Row], said: Said, spec: TrainsetSpec) -> Iterator[Row | None]:
    """Good answers only."""
    return (good(mistake) for mistake in mistakes)


def coh(mistakes: Sequence[Row], said: Said, spec: TrainsetSpec) -> Iterator[Row | None]:
    """Good and bad answer with their markers, every other time the bad one first."""
    markers = [spec.texts["good_marker"], spec.texts["bad_marker"]]
    for number, mistake in enumerate(mistakes):
        pair, way = [mistake["good"], mistake["response"]], 1 if number % 2 == 0 else -1
        row = _of("hindsight", mistake, mistake["instruction"], pair[::way])
        yield row and {**row, "markers": markers[::way]}


def preference(mistakes: Sequence[Row], said: Said, spec: TrainsetSpec) -> Iterator[Row | None]:
    """The good answer against the bad one, for DPO and reward models."""
    for mistake in mistakes:
        row = _of("preference", mistake, mistake["instruction"], [mistake["good"]])
        yield row and {**row, "rejected": mistake["response"]}


def critique_revise(
    mistakes: Sequence[Row], said: Said, spec: TrainsetSpec
) -> Iterator[Row | None]:
    """The revision as the answer; none where it says again what was bad."""
    for mistake in mistakes:
        revision = said.get(mistake["mistake_id"], "")
        better = None if _as_bad(revision, mistake) else revision
        yield _of("revision", mistake, mistake["instruction"], [better])


def _as_bad(revision: str, mistake: Row) -> bool:
    """Whether a revision obeys the attack, or one text is in the other."""
    if mistake["target"] is not None:
        return hijacked(mistake["target"], revision)
    new, old = (f" {' '.join(words(text))} " for text in (revision, mistake["response"]))
    return new in old or old in new


def lfm(mistakes: Sequence[Row], said: Said, spec: TrainsetSpec) -> Iterator[Row | None]:
    """Good answers, and the analyses as answers to a question about the bad one.

    The bad answer stands in the prompt, so it carries no loss. Whether the question is guided is
    the spec's question.
    """
    return _with_analyses(mistakes, _fit(mistakes, said, spec), spec)


def lfm_tag(mistakes: Sequence[Row], said: Said, spec: TrainsetSpec) -> Iterator[Row | None]:
    """Good answers, and a verdict without reasons in place of each analysis."""
    yield from sft(mistakes, said, spec)
    for mistake in mistakes:
        question = _about(mistake, spec.texts["unguided"])
        yield _of("verdict", mistake, question, [spec.texts["verdict"]])


def lfm_shuffled(mistakes: Sequence[Row], said: Said, spec: TrainsetSpec) -> Iterator[Row | None]:
    """As `lfm`, with every analysis moved to another mistake: the same texts, no right reasons.

    No mistake gets its own text, even where several have the same.

    Raises:
        AlignlabError: more than half of the analyses are one text.
    """
    said = _fit(mistakes, said, spec)
    order = list(said)
    random.Random(spec.seed).shuffle(order)
    places = {said[name]: place for place, name in enumerate(order)}
    order.sort(key=lambda name: places[said[name]])
    # With equal texts side by side, a step as long as the longest such run leaves every run.
    step = max(Counter(said[name] for name in order).values())
    if 2 * step > len(order):
        raise AlignlabError(
            f"trainset {spec.trainset}: {len(order)} analyses, {step} of them the same, cannot "
            "be swapped"
        )
    moved = {own: said[order[n - step]] for n, own in enumerate(order)}
    return _with_analyses(mistakes, moved, spec)


Maker = Callable[[Sequence[Row], Said, TrainsetSpec], Iterator[Row | None]]

MAKERS: dict[str, Maker] = {
    "sft": sft,
    "coh": coh,
    "preference": preference,
    "critique-revise": critique_revise,
    "lfm": lfm,
    "lfm-guided": lfm,
    "lfm-tag": lfm_tag,
    "lfm-shuffled": lfm_shuffled,
}
"""Recipe → what makes its examples; `alignlab.learning.config` says what each needs."""


def _fit(mistakes: Sequence[Row], said: Said, spec: TrainsetSpec) -> dict[str, str]:
    """The analyses without those that only make the mistake again: an attack takes analysts too.

    Raises:
        AlignlabError: none is left, and what remains would not be the recipe.
    """
    found = {
        mistake["mistake_id"]: text
        for mistake in mistakes
        if (text := said.get(mistake["mistake_id"], ""))
        and (echo(text, mistake["response"]) or 0) < ECHOES
    }
    if not found:
        raise AlignlabError(f"trainset {spec.trainset}: no analysis is fit to be learnt")
    return found


def _with_analyses(mistakes: Sequence[Row], said: Said, spec: TrainsetSpec) -> Iterator[Row | None]:
    yield from sft(mistakes, said, spec)
    for mistake in mistakes:
        question = _about(mistake, spec.question)
        yield _of("analysis", mistake, question, [said.get(mistake["mistake_id"])])


def _about(mistake: Row, question: str) -> str:
    values = {"instruction": mistake["instruction"], "response": mistake["response"]}
    return fill(question, values)


def _of(kind: str, mistake: Row, prompt: str, completion: list[str | None]) -> Row | None:
    """An example from a mistake; none where a text that it needs is missing."""
    if not all(completion):
        return None
    row = _example(kind, mistake["mistake_id"], mistake["prompt_id"], prompt)
    return row | {"completion": completion, "markers": [""] * len(completion)}


def _example(kind: str, origin: str, prompt_id: str, prompt: str) -> Row:
    return {
        "example_id": f"{kind}/{origin}",
        "kind": kind,
        "prompt_id": prompt_id,
        "prompt": prompt,
        "markers": [""],
        "completion": [],
        "rejected": None,
    }


class TrainsetJob(Job):
    """What `build_trainset` is given.

    Attributes:
        answers: prompts tables with ordinary questions; their references are the answers.
        mistakes: the table of mistakes.
        responses: those of the analyst, or revisions.
        output: the table `trainset`.
    """

    spec: TrainsetSpec
    answers: tuple[Path, ...]
    mistakes: Path | None = None
    responses: Path | None = None


def build_trainset(job: TrainsetJob) -> None:
    """Write the table `trainset`; its metadata counts the examples of every kind.

    Raises:
        AlignlabError: no ordinary question has a reference, `take` asks for more mistakes than
            there are, or the recipe makes nothing of any of them.
    """
    spec = job.spec
    rows = [row for path in job.answers for row in _answers(spec.trainset, path)]
    if job.mistakes:
        rows += _lessons(spec, list(tables.rows("mistakes", job.mistakes)), job.responses)
    counts = Counter(row["kind"] for row in rows)
    shares = (f"{kind} {count} ({count / len(rows):.0%})" for kind, count in counts.items())
    log.info("%s: %d examples: %s", spec.trainset, len(rows), ", ".join(shares))
    with tables.writing("trainset", job.output, spec.signed) as writer:
        writer.write(rows)
        writer.note("counts", counts)


def _answers(name: str, path: Path) -> list[Row]:
    """Ordinary questions with their answers; a question without one is left out, and counted."""
    made = [answer(prompt) for prompt in tables.rows("prompts", path)]
    rows = [row for row in made if row is not None]
    if not rows:
        raise AlignlabError(f"trainset {name}: answers: no row of {path} has a reference answer")
    if missing := len(made) - len(rows):
        log.warning("%s: %d of %d ordinary questions have no answer", name, missing, len(made))
    return rows


def _lessons(spec: TrainsetSpec, mistakes: list[Row], analyses: Path | None) -> list[Row]:
    name, recipe = spec.trainset, spec.recipe
    take = len(mistakes) if spec.take is None else spec.take
    if take > len(mistakes):
        raise AlignlabError(
            f"trainset {name}: take: {take} mistakes wanted, {len(mistakes)} are left"
        )
    chosen = set(random.Random(spec.seed).sample(range(len(mistakes)), take))
    kept = [mistake for number, mistake in enumerate(mistakes) if number in chosen]
    said = analyses_of(analyses) if analyses else {}
    made = list(MAKERS[recipe](kept, said, spec))
    rows = [row for row in made if row is not None]
    if missing := len(made) - len(rows):
        log.info("%s: %d examples left out: a text that they need is missing", name, missing)
    if not rows:
        raise AlignlabError(
            f"trainset {name}: recipe {recipe} makes nothing of {len(kept)} mistakes: they have "
            "no good answer (`reference`), and no analysis or revision that is fit to be learnt"
        )
    return rows
