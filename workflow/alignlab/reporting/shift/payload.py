"""Data files of the token-shift page: scripts that hand it compact arrays when it asks for them.

A page opened from disk may load scripts but not fetch JSON, so a file reads `receive(name, JSON)`.
The names are numbers of our own: `prompts-0`, and for each pair `0-answers` (one row an answer),
`0-text-0` (what the search looks through) and `0-0`, `0-1`, … (tokens, a few answers a file).
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row

Key = tuple[str, int, int]
T = TypeVar("T")

# About 0.3 kB a token: files of 0.8 MB, which open at once and hold some ten answers.
TOKENS_PER_FILE = 2800
CHARACTERS_PER_FILE = 800_000
CLASSES = ("unshifted", "marginal", "shifted")
MEASURES = (
    *("base_logprob", "aligned_logprob", "kl_aligned_base", "kl_base_aligned"),
    *("js", "base_entropy", "aligned_entropy"),
)
# Bits of a token's flags, in the order of the page's `FLAGS`.
TIED, SPECIAL, EOS, LOWER_BOUND = 1, 2, 4, 8


@dataclass(frozen=True)
class Written:
    """What the page must know of a pair before it loads any of its files."""

    answers: int
    texts: int
    shifted_in: dict[int, list[int]]
    """Token id → the answers in which it is shifted, as places in `<pair>-answers`."""


def write_prompts(folder: Path, prompts: Sequence[Row]) -> int:
    """Write `prompts-<n>.js`, in order; returns how many files there are."""
    shown = ("dataset", "category", "tags", "turns")
    rows = ({"id": row["prompt_id"]} | {name: row[name] for name in shown} for row in prompts)
    return _write_cut(folder, "prompts", rows)


def write_pair(
    folder: Path,
    name: str,
    shifts: Path,
    responses: Path,
    places: Mapping[str, int],
    tracked: Iterable[int],
) -> Written:
    """Write a pair's files.

    Args:
        folder: where the files go.
        name: what their names begin with.
        shifts: the pair's token_shift table.
        responses: the aligned arm's responses table.
        places: prompt id → its place among the prompts, which is the order of the answers.
        tracked: ids of the tokens to list the answers for.

    Raises:
        AlignlabError: an answer has no response or no prompt, or its rows are not together.
    """
    said = _read_responses(responses)
    entries = []
    for number, run in enumerate(cut(answers_of(shifts), len, TOKENS_PER_FILE)):
        _write(folder, f"{name}-{number}", encode(run))
        for place, rows in enumerate(run):
            key = key_of(rows[0])
            if key not in said:
                raise AlignlabError(
                    f"{responses}: no answer for {_answer_name(key)}, which {shifts} has"
                )
            if key[0] not in places:
                raise AlignlabError(f"{shifts}: {_answer_name(key)} is in no prompts table")
            row = {"prompt": places[key[0]], "file": number, "place": place} | summary(rows)
            row["finish"] = said[key]["finish_reason"]
            entries.append(_Entry(row, shifted_ids(rows), said[key]["raw_text"]))
    entries.sort(key=lambda entry: [entry.row[part] for part in ("prompt", "turn", "sample")])
    texts = _write_cut(folder, f"{name}-text", [entry.text for entry in entries])
    _write(folder, f"{name}-answers", _columns([entry.row for entry in entries]))
    return Written(len(entries), texts, _inverted([entry.shifted for entry in entries], tracked))


@dataclass(frozen=True)
class _Entry:
    row: Row
    shifted: set[int]
    text: str


def key_of(row: Row) -> Key:
    """Which answer a row belongs to."""
    return row["prompt_id"], row["turn"], row["sample"]


def answers_of(path: Path) -> Iterator[list[Row]]:
    """The rows of one answer after another, in constant memory.

    Raises:
        AlignlabError: the rows of an answer are not together, or not in order of position.
    """
    seen = set()
    for key, group in groupby(tables.rows("token_shift", path), key_of):
        rows = list(group)
        if key in seen or [row["position"] for row in rows] != list(range(len(rows))):
            raise AlignlabError(
                f"{path}: rows of {_answer_name(key)} are not together, from position 0"
            )
        seen.add(key)
        yield rows


def summary(rows: Sequence[Row]) -> Row:
    """What the list shows of an answer; `kl` is the mean KL(aligned ‖ base), in nats / 1000."""
    classes = Counter(row["shift_class"] for row in rows)
    known = [kl for row in rows if (kl := _milli(row["kl_aligned_base"])) is not None]
    return {
        "turn": rows[0]["turn"],
        "sample": rows[0]["sample"],
        "tokens": len(rows),
        "marginal": classes["marginal"],
        "shifted": classes["shifted"],
        "kl": round(sum(known) / len(known)) if known else None,
    }


def shifted_ids(rows: Iterable[Row]) -> set[int]:
    """The ids that are shifted somewhere in an answer."""
    return {row["token_id"] for row in rows if row["shift_class"] == "shifted"}


def encode(answers: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """One file's content: answers as columns of whole numbers, over tables of tokens.

    A token is its place in `ids` and `texts`, the most frequent first. Measures are in nats /
    1000; the likeliest tokens' log-probabilities come without their minus sign.
    """
    counts = Counter(piece for rows in answers for row in rows for piece in _pieces(row))
    pieces = [piece for piece, _ in counts.most_common()]
    places = {piece: place for place, piece in enumerate(pieces)}
    categories = sorted({row["token_category"] for rows in answers for row in rows})
    return {
        "ids": [token_id for token_id, _ in pieces],
        "texts": [text for _, text in pieces],
        "categories": categories,
        "answers": [_answer(rows, places, categories) for rows in answers],
    }


def _pieces(row: Row) -> list[tuple[int, str]]:
    return [(row["token_id"], row["token"]), *_top(row, "base"), *_top(row, "aligned")]


def _top(row: Row, model: str) -> Iterable[tuple[int, str]]:
    return zip(row[f"{model}_topk_ids"], row[f"{model}_topk_tokens"], strict=True)


def _answer(
    rows: Sequence[Row], places: Mapping[tuple[int, str], int], categories: Sequence[str]
) -> dict[str, Any]:
    encoded: dict[str, Any] = {
        "token": [places[row["token_id"], row["token"]] for row in rows],
        "class": [CLASSES.index(row["shift_class"]) for row in rows],
        "category": [categories.index(row["token_category"]) for row in rows],
        "flags": [_flags(row) for row in rows],
        "rank": [row["base_rank"] for row in rows],
    }
    encoded |= {name: [_milli(row[name]) for row in rows] for name in MEASURES}
    for model in ("base", "aligned"):
        encoded[f"{model}_top"] = [[places[piece] for piece in _top(row, model)] for row in rows]
        encoded[f"{model}_nats"] = [
            [_milli(-value) for value in row[f"{model}_topk_logprobs"]] for row in rows
        ]
    return encoded


def _flags(row: Row) -> int:
    bits = {TIED: row["tied"], SPECIAL: row["is_special"], EOS: row["is_eos"]}
    bits[LOWER_BOUND] = row["kl_kind"] == "lower_bound"
    return sum(bit for bit, holds in bits.items() if holds)


def _milli(value: float | None) -> int | None:
    return round(1000 * value) if value is not None and math.isfinite(value) else None


def _read_responses(path: Path) -> dict[Key, Row]:
    columns = ["prompt_id", "turn", "sample", "finish_reason", "raw_text"]
    rows = tables.opened("responses", path).read(columns=columns).to_pylist()
    return {key_of(row): row for row in rows}


def _inverted(shifted: Sequence[set[int]], tracked: Iterable[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for place, ids in enumerate(shifted):
        for token_id in ids:
            found[token_id].append(place)
    return {token_id: found[token_id] for token_id in tracked}


def _columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def cut(items: Iterable[T], size: Callable[[T], int], limit: int) -> Iterator[list[T]]:
    """Runs of items, each as long as `limit` allows and at least one item long."""
    run: list[T] = []
    total = 0
    for item in items:
        length = size(item)
        if run and total + length > limit:
            yield run
            run, total = [], 0
        run.append(item)
        total += length
    if run:
        yield run


def _write_cut(folder: Path, name: str, items: Iterable[Any]) -> int:
    files = 0
    for run in cut(items, lambda item: len(json.dumps(item)), CHARACTERS_PER_FILE):
        _write(folder, f"{name}-{files}", run)
        files += 1
    return files


def script(name: str, content: Any) -> str:
    """A data file's text, in ASCII: no character can end a line or be decoded wrongly."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return f"receive({json.dumps(name)},{text});\n"


def _write(folder: Path, name: str, content: Any) -> None:
    (folder / f"{name}.js").write_text(script(name, content), encoding="ascii")


def _answer_name(key: Key) -> str:
    return f"prompt {key[0]!r}, turn {key[1]}, sample {key[2]}"
