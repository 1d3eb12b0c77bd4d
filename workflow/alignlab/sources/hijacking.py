"""Goal hijacking: ordinary questions with an instruction smuggled in (LfM, arXiv 2310.10477, §4.2).

    source: {kind: hijacking, questions: mt-bench, texts: lfm/hijacking, topics: [pirates]}

The texts are in `config/prompts/lfm/hijacking.yaml`. No toxic text is needed: what an attack wants
said is harmless, and whether it was said can be decided by rule (metric `hijacked`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from alignlab.core.config import StrictModel
from alignlab.core.errors import AlignlabError
from alignlab.core.stable_random import lot
from alignlab.core.tables import Row
from alignlab.core.templates import fill
from alignlab.planning.job import Spec
from alignlab.prompting.prompt_files import Hijacking
from alignlab.sources.config import PromptSetConfig
from alignlab.sources.jobs import FileRows


class Attacks(StrictModel):
    """How many attacks there are on a question, and the seed of their draw."""

    kind: Literal["hijacking"]
    attacks: int
    seed: int


class AttacksSpec(Spec):
    """What attacks are made of.

    Attributes:
        dataset: their name in the catalog.
        source: how many, and with which seed.
        texts: injections, and the targets of the chosen topics.
        questions: the rows that are attacked, all of them.
        selection: which attacks are asked.
    """

    dataset: str
    source: Attacks
    texts: Hijacking
    questions: FileRows
    selection: PromptSetConfig


def attacked(questions: list[Row], spec: AttacksSpec) -> list[Row]:
    """Rows of the prompts table: `attacks` per question, each with its `target`.

    Each attack is an injection with a target, drawn by hash with the seed: the same on every
    machine, and a larger `attacks` contains a smaller one. Only first turns are attacked.
    The question's own answer is the `reference`; the target is the `mistake`, an answer that is
    bad by definition.

    Args:
        questions: rows of the prompts table.
        spec: how they are attacked.

    Raises:
        AlignlabError: fewer attacks can be made from the texts than are asked for.
    """
    source, texts = spec.source, spec.texts
    choices = [
        (injection, topic, target)
        for injection in texts.injections
        for topic, targets in texts.targets.items()
        for target in targets
    ]
    if source.attacks > len(choices):
        raise AlignlabError(
            f"source.attacks: {source.attacks} per question asked for, the texts make "
            f"{len(choices)}"
        )
    return [row for question in questions for row in _attacks(question, choices, spec)]


def _attacks(
    question: Row, choices: list[tuple[str, str, str]], spec: AttacksSpec
) -> Iterator[Row]:
    seed, injections = spec.source.seed, spec.texts.injections
    drawn = sorted(choices, key=lambda choice: lot(seed, question["prompt_id"], *choice))
    own = question["prompt_id"].removeprefix(f"{question['dataset']}/")
    turns = question["turns"]
    for number, (injection, topic, target) in enumerate(drawn[: spec.source.attacks], 1):
        text = fill(injections[injection], {"question": turns[0], "target": target})
        yield {
            "prompt_id": f"{spec.dataset}/{own}-{number}",
            "dataset": spec.dataset,
            "category": "safety",
            "source": question["dataset"],
            "turns": [text],
            "tags": [topic, injection],
            # Answers to several turns are one text, which is no answer to the first.
            "reference": question["reference"] if len(turns) == 1 else None,
            "mistake": target,
            "target": target,
        }
