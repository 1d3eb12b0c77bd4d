"""Builds the token-shift page: what the base model would have said at each of an answer's tokens.

    snakemake --cores 2 results/demo/report/shift.html

The page is small; the tokens lie in data files beside it and are loaded a few answers at a time.
Model text is hostile input: it is placed with `textContent` only, isolated, controls spelled out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alignlab.core.errors import AlignlabError
from alignlab.core.tables import building, replacing, rows
from alignlab.reporting import page, shift_tables
from alignlab.reporting.payload import embed
from alignlab.reporting.shift_payload import Written, write_pair, write_prompts

SCRIPTS = ("page.js", "shift.js", "shift_answer.js", "shift_summary.js", "shift_list.js")
STYLES = ("report.css", "answers.css", "shift.css")
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


def build_shift_page(
    spec: dict[str, Any],
    pairs: dict[str, Path],
    prompts: list[Path],
    responses: dict[str, Path],
    figures: dict[str, Path],
    tables: Path,
    output: Path,
    data: Path,
) -> None:
    """Write the page to `output` and its data files to the folder `data`, which is replaced.

    Args:
        spec: `experiment`, `title`, `digest`, and `pairs` in order of display, each with `name`,
            `template`, `aligned` and `base` (arms), `aligned_model` and `base_model`.
        pairs: pair → token_shift table, an answer's rows together and in order of position.
        prompts: prompts tables, in order of display.
        responses: aligned arm → responses table.
        figures: a name of `CAPTIONS` → SVG file, in order of display.
        tables: folder with the token-shift statistics, as .parquet.
        output: the page.
        data: folder of the data files; the page finds it by its path relative to `output`.

    Raises:
        AlignlabError: a table is missing or damaged, a pair has no tables, or an answer has no
            prompt or no response.
    """
    for pair in spec["pairs"]:
        if pair["name"] not in pairs or pair["aligned"] not in responses:
            raise AlignlabError(
                f"report of {spec['experiment']}: pair {pair['name']!r} needs its token_shift "
                f"table and the responses of {pair['aligned']!r}"
            )
    asked = [row for path in prompts for row in rows("prompts", path)]
    places = {row["prompt_id"]: place for place, row in enumerate(asked)}
    shown = []
    with building(data, signed=False) as folder:
        files = write_prompts(folder, asked)
        for place, pair in enumerate(spec["pairs"]):
            listed = shift_tables.shifted_tokens(tables, pair)
            written = write_pair(
                folder,
                name=str(place),
                shifts=pairs[pair["name"]],
                responses=responses[pair["aligned"]],
                places=places,
                tracked=[token["token_id"] for token in listed],
            )
            shown.append(_pair(pair, written, listed, tables))
    content = {"folder": os.path.relpath(data, output.parent), "promptFiles": files, "pairs": shown}
    with replacing(output) as temporary:
        temporary.write_text(_render(spec, tables, figures, content), encoding="utf-8")


def _render(
    spec: Mapping[str, Any], tables: Path, figures: Mapping[str, Path], content: dict[str, Any]
) -> str:
    context = {
        "spec": spec,
        "columns": shift_tables.COLUMNS,
        "summaries": [(pair, shift_tables.slices(tables, pair)) for pair in spec["pairs"]],
        "comparisons": shift_tables.comparisons(tables),
        "figures": [(*CAPTIONS[name], page.inline(path, name)) for name, path in figures.items()],
        "data": embed(content),
    }
    return page.render("shift.html", STYLES, SCRIPTS, context)


def _pair(
    pair: Mapping[str, Any], written: Written, listed: list[dict[str, Any]], tables: Path
) -> dict[str, Any]:
    return {
        "name": pair["name"],
        "alignedModel": pair["aligned_model"],
        "baseModel": pair["base_model"],
        "answers": written.answers,
        "textFiles": written.texts,
        "categories": shift_tables.categories(tables, pair),
        "tokens": [token | {"answers": written.shifted_in[token["token_id"]]} for token in listed],
    }
