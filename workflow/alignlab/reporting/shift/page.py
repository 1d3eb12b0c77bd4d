"""Builds the token-shift page: what the base model would have said at each of an answer's tokens.

The page is small; the tokens are in data files beside it, loaded a few answers at a time. Model
text is hostile input: it is placed with `textContent` only, isolated, controls spelled out.
Shares are over tokens, pooled over prompts, with 95% bootstrap intervals over clusters
of prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab.core import tables
from alignlab.core.config import dump
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row, building, replacing
from alignlab.planning.artefact import Job, Spec
from alignlab.reporting import page
from alignlab.reporting.board import (
    Board,
    Cell,
    Column,
    RowHead,
    counted,
    in_clusters,
    interval,
    number,
    settings,
    signed,
)
from alignlab.reporting.shift.payload import Written, write_pair, write_prompts
from alignlab.shift import tokens
from alignlab.shift.config import PairCard

SCRIPTS = (
    *("page.js", "browser.js"),
    *("shift/load.js", "shift/answer.js", "shift/kinds.js", "shift/list.js"),
)
STYLES = ("base.css", "shift/shift.css")
CAPTIONS = {
    "shift_shares": (
        "How much shifts",
        "Share of tokens that the base model ranks first (unshifted), second or third (marginal), "
        "or lower (shifted), with the 95% bootstrap interval of the shifted share.",
    ),
    "shift_curves": (
        "Where in the answer",
        "Divergence, base rank and base probability by position in the answer, which counts from 1 "
        "on a logarithmic axis. Late positions are grouped, and average over the longer answers "
        "only; the strip below says over how many. Positions that fewer than 5% of the answers "
        "reach are left out.",
    ),
    "shifted_tokens": (
        "Which tokens",
        "The tokens most often shifted. Lift is a token's share of the shifted tokens over its "
        "share of all tokens.",
    ),
    "shift_categories": (
        "Which kinds of token",
        "How often tokens of each kind shift, and how much of the divergence they carry.",
    ),
    "shift_confidence": (
        "How sure the base model was",
        "Disagreement against the probability of the base model's likeliest token.",
    ),
}
COLUMNS = {
    "unshifted": "Unshifted",
    "marginal": "Marginal",
    "shifted": "Shifted",
    "top3": "In the top 3",
    "kl_aligned_base": "KL(aligned ‖ base)",
}
CLASSES = ("unshifted", "marginal", "shifted")
PROMPTS = {"own": "each under its own prompt", "shared": "both under the base model’s prompt"}
# How many of the tokens most often shifted the page lists.
TOKENS_SHOWN = 60


class ShiftPageSpec(Spec):
    """What the token-shift page shows.

    Attributes:
        experiment: its name.
        title: heading.
        pairs: in order of display.
        page: digests of the page's own HTML, CSS and JavaScript.
    """

    experiment: str
    title: str
    pairs: tuple[PairCard, ...]
    page: tuple[str, ...]


class ShiftPageJob(Job):
    """What `build_shift_page` is given.

    Attributes:
        shifts: name of a pair → its token_shift table, an answer's rows together and in order of
            position.
        statistics: the table `shift_statistics`, with the others of token shift beside it.
        responses: aligned arm → responses table.
        prompts: prompts tables, in order of display.
        output: folder of the page, in the experiment's own.
    """

    spec: ShiftPageSpec
    shifts: dict[str, Path]
    statistics: Path
    responses: dict[str, Path]
    prompts: tuple[Path, ...]

    @property
    def tables(self) -> Path:
        """Folder of the token-shift statistics."""
        return self.statistics.parent

    @property
    def page(self) -> Path:
        """The page."""
        return self.output / "shift.html"

    @property
    def data(self) -> Path:
        """Folder of its data files; the page finds it by its path relative to its own."""
        return self.output / "shift"

    @property
    def figures(self) -> Path:
        """Folder of its figures."""
        return self.output.parent / "figures" / "shift"


def build_shift_page(job: ShiftPageJob, figures: Mapping[str, Path]) -> None:
    """Write the page and the folder of its data files, which is replaced.

    Args:
        job: says which tables, and where the page goes.
        figures: a name of `CAPTIONS` → SVG file, in order of display.

    Raises:
        AlignlabError: a table is missing or damaged, a pair has no tables, or an answer has no
            prompt or no response.
    """
    for pair in job.spec.pairs:
        if pair.name not in job.shifts or pair.aligned not in job.responses:
            raise AlignlabError(
                f"report of {job.spec.experiment}: pair {pair.name!r} needs its token_shift "
                f"table and the responses of {pair.aligned!r}"
            )
    asked = [row for path in job.prompts for row in tables.rows("prompts", path)]
    places = {row["prompt_id"]: place for place, row in enumerate(asked)}
    shown = []
    with building(job.data, signed=False) as folder:
        files = write_prompts(folder, asked)
        for place, pair in enumerate(job.spec.pairs):
            listed = shifted_tokens(job.tables, pair)
            written = write_pair(
                folder,
                name=str(place),
                shifts=job.shifts[pair.name],
                responses=job.responses[pair.aligned],
                places=places,
                tracked=[token["token_id"] for token in listed],
            )
            shown.append(_pair(pair, written, listed, job.tables))
    content = {"folder": job.data.name, "promptFiles": files, "pairs": shown}
    with replacing(job.page) as temporary:
        temporary.write_text(_render(job, figures, content), encoding="utf-8")


def _render(job: ShiftPageJob, figures: Mapping[str, Path], content: dict[str, Any]) -> str:
    context = {
        "spec": job.spec,
        "shares": shares_board(job.spec.pairs, job.tables),
        "slices": slices_board(job.spec.pairs, job.tables),
        "comparisons": comparisons_board(job.tables),
        "figures": [(*CAPTIONS[name], page.inline(path, name)) for name, path in figures.items()],
        "data": page.embed(content),
    }
    return page.render("shift/shift.html", STYLES, SCRIPTS, context)


def _pair(
    pair: PairCard, written: Written, listed: list[dict[str, Any]], folder: Path
) -> dict[str, Any]:
    return {
        "name": pair.name,
        "alignedModel": pair.aligned_model,
        "baseModel": pair.base_model,
        "answers": written.answers,
        "textFiles": written.texts,
        "categories": categories(folder, pair),
        "tokens": [token | {"answers": written.shifted_in[token["token_id"]]} for token in listed],
    }


Slice = dict[str, Row]
"""Metric → row of `shift_statistics`, of one slice."""


def slices(folder: Path, pair: PairCard) -> dict[tuple[str, str], Slice]:
    """A pair's shares over all prompts, by category, and both without the end token.

    `folder` holds `shift_statistics.parquet`; a category that all prompts share is not repeated.

    Returns:
        (`with` or `without` the end token, category) → its rows.
    """
    found: dict[tuple[str, str], Slice] = {}
    for row in _of(folder, "shift_statistics", pair):
        if row["dataset"] == "all" and row["weighting"] == "pooled":
            found.setdefault((row["eos"], row["category"]), {})[row["metric"]] = row
    categories = [name for name in ("regular", "safety") if ("with", name) in found]
    shown = ["all", *categories] if len(categories) > 1 else ["all"]
    order = [(eos, category) for eos in ("with", "without") for category in shown]
    return {key: found[key] for key in order if key in found}


def shares_board(pairs: Sequence[PairCard], folder: Path) -> Board:
    """Shares of every pair over all prompts, with a bar."""
    rows = []
    for pair in pairs:
        whole = slices(folder, pair).get(("with", "all"))
        if whole is None:
            continue
        first = next(iter(whole.values()))
        parts = [(name, _known(whole[name]["value"]) or 0.0) for name in CLASSES if name in whole]
        size = counted(first["prompts"], "prompt") + in_clusters(first, "prompts")
        if first["coverage"] is not None and first["coverage"] < 1:
            size += f", {first['coverage']:.0%} of answers"
        if lacking := first.get("lacking"):
            size += f"; {lacking:,} left out at tokens the base model lacks"
        tokens = Cell(f"{first['tokens']:,}", range=size)
        rows.append((_pair_head(pair), [Cell("", bar=parts), *_cells(whole), tokens]))
    bar = Column("Shares", classes="meter")
    columns = [bar, *map(Column, COLUMNS.values()), Column("Tokens")]
    return Board("How much shifts", "Pair", columns, rows, "shares")


def _pair_head(pair: PairCard) -> RowHead:
    lines = [f"{pair.aligned_model} against {pair.base_model}"]
    decoding = pair.decoding
    if decoding and (decoding.temperature or decoding.repetition_penalty != 1):
        lines.append(f"answers not greedy: {settings(dump(decoding))}")
    return RowHead(pair.name, lines=[*lines, PROMPTS[pair.template]])


def slices_board(pairs: Sequence[PairCard], folder: Path) -> Board:
    """Shares by category of prompt, and with the end token left out."""
    rows = []
    for pair in pairs:
        parts = {key: rows for key, rows in slices(folder, pair).items() if key != ("with", "all")}
        for place, ((eos, category), part) in enumerate(parts.items()):
            label = "all prompts" if category == "all" else category
            label += "" if eos == "with" else ", end token left out"
            tokens = Cell(f"{next(iter(part.values()))['tokens']:,}")
            head = RowHead(pair.name, classes="repeated" if place else "first")
            rows.append((head, [Cell(label), *_cells(part), tokens]))
    columns = [Column("Prompts", classes="wordy"), *map(Column, COLUMNS.values()), Column("Tokens")]
    return Board("Shares by category of prompt", "Pair", columns, rows, "slices")


def comparisons_board(folder: Path) -> Board:
    """Pairs against the first that scores the same answers: differences over all prompts."""
    found: dict[tuple[str, str], Slice] = {}
    for row in tables.rows("shift_comparisons", folder / "shift_comparisons.parquet"):
        if (row["dataset"], row["category"]) == ("all", "all"):
            found.setdefault((row["pair_a"], row["pair_b"]), {})[row["metric"]] = row
    rows = []
    for (pair, against), cells in found.items():
        tokens = Cell(f"{next(iter(cells.values()))['tokens']:,}")
        rows.append((RowHead(pair), [Cell(against), *_cells(cells, signed), tokens]))
    columns = [Column("Against", classes="wordy"), *map(Column, COLUMNS.values()), Column("Tokens")]
    return Board("Differences between pairs", "Pair", columns, rows, "slices")


def _cells(rows: Mapping[str, Row], shown_as: Callable[..., str] = number) -> list[Cell]:
    return [shift_cell(rows.get(name), name, shown_as) for name in COLUMNS]


def shift_cell(row: Row | None, metric: str, shown_as: Callable[..., str] = number) -> Cell:
    """A value with its interval: a share in percent, anything else as it is."""
    is_share = tokens.METRICS[metric].unit == "share"
    scale, places = (100, 1) if is_share else (1, 3)
    ends = ("value", "ci_low", "ci_high")
    value, low, high = (_scaled(row[name] if row else None, scale) for name in ends)
    unit = "%" if is_share and value is not None else ""
    return Cell(shown_as(value, places) + unit, range=interval(low, high, places, shown_as))


def _scaled(value: float | None, scale: float) -> float | None:
    known = _known(value)
    return None if known is None else scale * known


def categories(folder: Path, pair: PairCard) -> list[dict[str, Any]]:
    """A pair's rows of `shift_categories`, the largest share of shifted tokens first."""
    rows = [_compact(row) for row in _of(folder, "shift_categories", pair)]
    return sorted(rows, key=lambda row: -(row["share_of_shifted"] or 0.0))


def shifted_tokens(folder: Path, pair: PairCard) -> list[dict[str, Any]]:
    """A pair's rows of `shifted_tokens`: the `TOKENS_SHOWN` most often shifted ones."""
    rows = [_compact(row) for row in _of(folder, "shifted_tokens", pair) if row["shifted"]]
    return sorted(rows, key=lambda row: -row["shifted"])[:TOKENS_SHOWN]


def _of(folder: Path, table: str, pair: PairCard) -> Iterator[Row]:
    wanted = (pair.name, pair.template)
    for row in tables.rows(table, folder / f"{table}.parquet"):
        if (row["pair"], row["template"]) == wanted:
            yield row


def _compact(row: Row) -> dict[str, Any]:
    return {
        name: _known(value) if isinstance(value, float) else value
        for name, value in row.items()
        if name not in ("pair", "template")
    }


def _known(value: float | None) -> float | None:
    """Five digits; JSON has no NaN, and it could not be drawn."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")
