"""Training sets: ordinary answers, and what a recipe makes of mistakes and their analyses.

    snakemake --cores 2 --until build_trainset

Learning from Mistakes, step 3 (arXiv 2310.10477 §4), its baselines and controls. The same spec
gives the same bytes.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from pathlib import Path

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.learning import recipes
from alignlab.learning.questions import analyses_of
from alignlab.learning.recipes import TrainsetSpec
from alignlab.planning.job import Job

log = logging.getLogger(__name__)


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
    made = [recipes.answer(prompt) for prompt in tables.rows("prompts", path)]
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
    made = list(recipes.MAKERS[recipe](kept, said, spec))
    rows = [row for row in made if row is not None]
    if missing := len(made) - len(rows):
        log.info("%s: %d examples left out: a text that they need is missing", name, missing)
    if not rows:
        raise AlignlabError(
            f"trainset {name}: recipe {recipe} makes nothing of {len(kept)} mistakes: they have "
            "no good answer (`reference`), and no analysis or revision that is fit to be learnt"
        )
    return rows
