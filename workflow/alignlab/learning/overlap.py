"""Training sets against the prompts that arms are asked: counted, and refused if they share one.

Runs again whenever a training set or a prompt set changes, without tuning anything again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.metrics.words import spaced
from alignlab.planning.artefact import Job, Spec

NAMED = 3
# Words from which on a question that stands inside a longer message is the same question.
HELD = 4
Key = tuple[str, str]


class CheckedTrainsetsSpec(Spec):
    """Of which experiment, and which of its training sets; rows come in their order."""

    experiment: str
    trainsets: tuple[str, ...]


class CheckTrainsetsJob(Job):
    """What `check_trainsets` is given.

    Attributes:
        trainsets: name → table.
        prompts: the tables that every arm is asked.
        output: the folder of the experiment's tables.
    """

    spec: CheckedTrainsetsSpec
    trainsets: dict[str, Path]
    prompts: tuple[Path, ...]


def check_trainsets(job: CheckTrainsetsJob) -> None:
    """Write the table `trainsets`, also as CSV: how many examples of which kind.

    Raises:
        AlignlabError: an example is about a question that arms are asked; the message counts such
            examples and names the first.
    """
    asked = AskedQuestions(job.prompts)
    rows = []
    for name in job.spec.trainsets:
        path = job.trainsets[name]
        check_no_overlap(name, path, asked)
        counts = tables.counts_of(path)
        total = sum(counts.values())
        rows += [
            {"trainset": name, "kind": kind, "examples": count, "share": count / total}
            for kind, count in counts.items()
        ]
    tables.write_with_csv("trainsets", job.output / "trainsets.parquet", rows, job.spec.signed)


class AskedQuestions:
    """The questions of an evaluation, to be found again in training examples."""

    def __init__(self, prompts: Sequence[Path]) -> None:
        """Index prompts tables."""
        self.whole: dict[Key, str] = {}
        self.held: dict[tuple[str, ...], list[tuple[list[str], str]]] = {}
        for row in (row for path in prompts for row in tables.rows("prompts", path)):
            prompt_id: str = row["prompt_id"]
            self.whole |= dict.fromkeys(_keys(prompt_id, row["turns"]), prompt_id)
            if len(words := normalised(row["turns"][0]).split()) >= HELD:
                found = self.held.setdefault(tuple(words[:HELD]), [])
                found.append((words, prompt_id))

    def id_of(self, example: Row) -> str | None:
        """The evaluation's prompt that an example is about, if any.

        Messages are compared without case, punctuation and white space. What is made of a mistake
        may hold its question inside a longer message, as an analysis or an attack does.
        """
        keys = _keys(example["prompt_id"], [example["prompt"]])
        same = next((self.whole[key] for key in keys if key in self.whole), None)
        return same or (None if example["kind"] == "answer" else self._held(example["prompt"]))

    def _held(self, message: str) -> str | None:
        words = normalised(message).split()
        return next(
            (
                prompt_id
                for start in range(len(words) - HELD + 1)
                for question, prompt_id in self.held.get(tuple(words[start : start + HELD]), ())
                if words[start : start + len(question)] == question
            ),
            None,
        )


def check_no_overlap(name: str, trainset: Path, asked: AskedQuestions) -> None:
    """No example may be about a question of the evaluation.

    Raises:
        AlignlabError: some are.
    """
    shared = [
        f"{row['example_id']} (asked as {prompt_id})"
        for row in tables.rows("trainset", trainset)
        if (prompt_id := asked.id_of(row)) is not None
    ]
    if shared:
        more = ", ..." if len(shared) > NAMED else ""
        raise AlignlabError(
            f"trainset {name}: {len(shared)} examples share a question with the prompts that arms "
            f"are asked: {', '.join(shared[:NAMED])}{more}"
        )


def _keys(prompt_id: str, messages: Sequence[str]) -> list[Key]:
    return [("id", prompt_id), *(("text", normalised(message)) for message in messages)]


def normalised(text: str) -> str:
    """Words alone, in lower case; a text without any is kept.

    As in `num_words`, each letter of a script without spaces is a word: white space says nothing.
    """
    return " ".join(re.findall(r"\w+", spaced(text).casefold())) or text.strip()
