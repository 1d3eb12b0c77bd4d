"""Training sets against the prompts that arms are asked: counted, and refused if they share one.

    snakemake --cores 2 --until check_trainsets

Runs again whenever a training set or a prompt set changes, without tuning anything again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab import tables
from alignlab.errors import AlignlabError
from alignlab.tables import Row

NAMED = 3
Key = tuple[str, str]


def check_trainsets(
    spec: dict[str, Any], trainsets: Mapping[str, Path], prompts: Sequence[Path], output: Path
) -> None:
    """Write the table `trainsets`, also as CSV: how many examples of which kind.

    Args:
        spec: `digest`.
        trainsets: name → table.
        prompts: the tables that every arm is asked.
        output: the table.

    Raises:
        AlignlabError: an example is about a question that arms are asked; the message counts such
            examples and names the first.
    """
    asked = {
        key: row["prompt_id"]
        for path in prompts
        for row in tables.rows("prompts", path)
        for key in _keys(row["prompt_id"], row["turns"])
    }
    rows = []
    for name, path in trainsets.items():
        check_no_overlap(name, tables.rows("trainset", path), asked)
        counts = tables.counts_of(path)
        total = sum(counts.values())
        rows += [
            {"trainset": name, "kind": kind, "examples": count, "share": count / total}
            for kind, count in counts.items()
        ]
    tables.write_with_csv("trainsets", output, rows, spec)


def check_no_overlap(name: str, examples: Iterable[Row], asked: Mapping[Key, str]) -> None:
    """No example may be about a question of the evaluation.

    Messages are compared without case, punctuation and white space. An example that holds its
    question inside a longer message, such as an analysis, is known by its `prompt_id`.

    Raises:
        AlignlabError: some are.
    """
    shared = [
        f"{row['example_id']} (asked as {asked[key]})"
        for row in examples
        for key in [next((k for k in _keys(row["prompt_id"], [row["prompt"]]) if k in asked), None)]
        if key is not None
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
    """Words alone, in lower case; a text without any is kept."""
    return " ".join(re.findall(r"\w+", text.casefold())) or text.strip()
