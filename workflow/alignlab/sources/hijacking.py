"""Goal hijacking: ordinary questions with an instruction smuggled in (LfM, arXiv 2310.10477, §4.2).

    source: {kind: hijacking, questions: mt-bench, texts: lfm/hijacking, topics: [pirates]}

The texts are in `config/prompts/lfm/hijacking.yaml`. No toxic text is needed: what an attack wants
said is harmless, and whether it was said can be decided by rule (metric `hijacked`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alignlab.core.errors import AlignlabError
from alignlab.core.stable_random import lot
from alignlab.core.tables import Row
from alignlab.core.templates import fill


def attacked(questions: list[Row], spec: dict[str, Any]) -> list[Row]:
    """Rows of the prompts table: `attacks` per question, each with its `target`.

    Each attack is an injection with a target, drawn by hash with the seed: the same on every
    machine, and a larger `attacks` contains a smaller one. Only first turns are attacked.
    The question's own answer is the `reference`; the target is the `mistake`, an answer that is
    bad by definition.

    Args:
        questions: rows of the prompts table.
        spec: `dataset`, `source` (`attacks`, `seed`) and `texts` (`injections`, `targets`).

    Raises:
        AlignlabError: fewer attacks can be made from the texts than are asked for.
    """
    source, texts = spec["source"], spec["texts"]
    choices = [
        (injection, topic, target)
        for injection in texts["injections"]
        for topic, targets in texts["targets"].items()
        for target in targets
    ]
    if source["attacks"] > len(choices):
        raise AlignlabError(
            f"source.attacks: {source['attacks']} per question asked for, the texts make "
            f"{len(choices)}"
        )
    return [row for question in questions for row in _attacks(question, choices, spec)]


def _attacks(
    question: Row, choices: list[tuple[str, str, str]], spec: dict[str, Any]
) -> Iterator[Row]:
    seed, injections = spec["source"]["seed"], spec["texts"]["injections"]
    drawn = sorted(choices, key=lambda choice: lot(seed, question["prompt_id"], *choice))
    own = question["prompt_id"].removeprefix(f"{question['dataset']}/")
    turns = question["turns"]
    for number, (injection, topic, target) in enumerate(drawn[: spec["source"]["attacks"]], 1):
        text = fill(injections[injection], {"question": turns[0], "target": target})
        yield {
            "prompt_id": f"{spec['dataset']}/{own}-{number}",
            "dataset": spec["dataset"],
            "category": "safety",
            "source": question["dataset"],
            "turns": [text],
            "tags": [topic, injection],
            # Answers to several turns are one text, which is no answer to the first.
            "reference": question["reference"] if len(turns) == 1 else None,
            "mistake": target,
            "target": target,
        }
