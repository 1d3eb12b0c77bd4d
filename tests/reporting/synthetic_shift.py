"""Two synthetic pairs of one aligned arm: invented answers by token, and their aggregates."""

import math
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from synthetic import HOSTILE, TEXT, prompt_rows

from alignlab.core import tables
from alignlab.reporting.shift.page import ShiftPageJob

OPENERS = ("Sure", "Thank", "Hello", "Here", "However", "Remember")
WORDS = tuple(dict.fromkeys(TEXT.split()))
PIECES = tuple(
    [f" {word}" for word in WORDS] + [",", ".", "\n", "\n\n", " 12", "é", "�", " \u05e9"]
)
HOSTILE_PIECES = (
    *("<script>window.pwned = 1</script>", "</script>", "<!-- <b>unclosed", "<img src=x"),
    *("\u202egnp.exe\u202c", "\x07", "\u2028", "\u05e9\u05dc\u05d5\u05dd", "\u200f", "\x00", "\t"),
)
EOS = (2, "<|end|>")
VOCABULARY = [EOS, *((10 + i, text) for i, text in enumerate((*OPENERS, *PIECES, *HOSTILE_PIECES)))]
ID = {text: token_id for token_id, text in VOCABULARY}
PAIRS = (
    ("smol-own", "own", "chat", "zero-shot", "smollm2-135m-instruct", "smollm2-135m"),
    ("smol-shared", "shared", "chat", "zero-shot", "smollm2-135m-instruct", "smollm2-135m"),
)
HOSTILE_PROMPT = "mt-bench/82"


@dataclass(frozen=True)
class ShiftStudy:
    """The job of one page, and the figures that it shows."""

    folder: Path
    job: ShiftPageJob
    drawn: dict[str, Path]

    @property
    def page(self) -> Path:
        return self.job.page

    @property
    def data(self) -> Path:
        return self.job.data


def answer_texts(dice: random.Random, length: int) -> list[str]:
    body = [dice.choice(PIECES) for _ in range(length - 2)]
    return [dice.choice(OPENERS), *body, EOS[1]]


def token_row(dice: random.Random, pair: tuple, key: tuple, position: int, text: str) -> dict:
    """One position; early ones, openers and the end token shift most."""
    early = position < 3 or text in OPENERS or text == EOS[1]
    rank = dice.choice((1, 1, 1, 2, 3, 5, 40, 900) if early else (1,) * 14 + (2, 3, 4, 25))
    ranked = [piece for piece in dice.sample(VOCABULARY, 12) if piece[1] != text]
    base = ranked[:10] if rank > 10 else [*ranked[: rank - 1], (ID[text], text), *ranked[rank:10]]
    aligned = [(ID[text], text), *ranked[1:10]]
    falling = sorted((dice.uniform(-9, -2) for _ in range(9)), reverse=True)
    base_nats, aligned_nats = [-dice.random(), *falling], [-dice.random() / 2, *falling]
    base_logprob = base_nats[rank - 1] if rank <= 10 else falling[-1] - 3
    kl = dice.expovariate(0.4 if early else 6)
    prompt_id, turn, sample = key
    row = {"pair": pair[0], "template": pair[1], "prompt_id": prompt_id, "turn": turn}
    row |= {"sample": sample, "position": position, "token_id": ID[text], "token": text}
    row |= {"base_rank": rank, "tied": dice.random() < 0.02, "base_logprob": base_logprob}
    row |= {"shift_class": "unshifted" if rank == 1 else "marginal" if rank < 4 else "shifted"}
    row |= {"aligned_logprob": aligned_nats[0], "kl_aligned_base": kl, "kl_base_aligned": kl / 2}
    row |= {"js": min(0.69, kl / 4), "base_entropy": 2.1, "aligned_entropy": 0.8}
    row |= {"kl_kind": "exact", "is_special": text == EOS[1], "is_eos": text == EOS[1]}
    for model, pieces, values in (("base", base, base_nats), ("aligned", aligned, aligned_nats)):
        row[f"{model}_topk_ids"] = [token_id for token_id, _ in pieces]
        row[f"{model}_topk_tokens"] = [piece for _, piece in pieces]
        row[f"{model}_topk_logprobs"] = values
    return row | {"token_category": category(text)}


def category(text: str) -> str:
    if text in OPENERS:
        return "greeting_closer"
    return "special" if text == EOS[1] else "content" if text.strip().isalpha() else "format"


def write_study_tables(folder: Path, prompts: list[dict], length: int) -> None:
    """Prompts, responses and both pairs' token_shift tables, streamed one answer a row group."""
    note = {"digest": "0123456789ab"}
    tables.write("prompts", folder / "prompts.parquet", prompts, note)
    dice = random.Random(7)
    texts = {}
    for prompt in prompts:
        for turn in range(len(prompt["turns"])):
            pieces = answer_texts(dice, max(4, int(dice.gauss(length, length / 4))))
            planted = prompt["prompt_id"] == HOSTILE_PROMPT
            texts[prompt["prompt_id"], turn, 0] = [*HOSTILE_PIECES, EOS[1]] if planted else pieces
    rows = [response_row(key, pieces) for key, pieces in texts.items()]
    tables.write("responses", folder / "chat.parquet", rows, note)
    for pair in PAIRS:
        with tables.writing("token_shift", folder / f"{pair[0]}.parquet", note) as writer:
            for key, pieces in texts.items():
                writer.write(token_row(dice, pair, key, i, text) for i, text in enumerate(pieces))


def response_row(key: tuple, pieces: list[str]) -> dict:
    prompt_id, turn, sample = key
    text = "".join(pieces[:-1])
    row = {"arm": "chat", "model": PAIRS[0][4], "prompt_id": prompt_id, "turn": turn}
    row |= {"sample": sample, "prompt_ids": [1], "raw_text": text, "text": text.strip()}
    row |= {"token_ids": [ID[piece] for piece in pieces], "finish_reason": "eos", "trimmed": ""}
    return row | {"num_tokens": len(pieces), "num_words": len(text.split()), "seed": None}


def write_aggregates(folder: Path, prompts: list[dict]) -> None:
    """The tables of the statistics room, over tokens, with invented intervals."""
    safety = {row["prompt_id"] for row in prompts if row["category"] == "safety"}
    shares, kinds, tokens = [], [], []
    for pair in PAIRS:
        rows = list(tables.rows("token_shift", folder / f"{pair[0]}.parquet"))
        head = {"pair": pair[0], "template": pair[1]}
        for kind in ("all", "regular", "safety"):
            for eos in ("with", "without"):
                kept = [
                    row
                    for row in rows
                    if kind in ("all", "safety" if row["prompt_id"] in safety else "regular")
                    and not (eos == "without" and row["is_eos"])
                ]
                shares += statistic_rows(head | {"category": kind, "eos": eos}, kept)
        kinds += category_rows(head, rows)
        tokens += shifted_token_rows(head, rows)
    note = {"digest": "0123456789ab"}
    for name, content in zip(
        ("shift_statistics", "shift_categories", "shifted_tokens", "shift_comparisons"),
        (shares, kinds, tokens, comparison_rows()),
        strict=True,
    ):
        tables.write(name, folder / f"{name}.parquet", content, note)


def comparison_rows() -> list[dict]:
    """The second pair against the first, less shifted by a quarter of a point."""
    row = {"pair_a": PAIRS[1][0], "pair_b": PAIRS[0][0], "dataset": "all", "category": "all"}
    row |= {
        "prompts": 20,
        "clusters": 20,
        "tokens": 900,
        "value": -0.0025,
        "ci_low": -0.01,
        "ci_high": 0.005,
    }
    names = ("unshifted", "marginal", "shifted", "top3", "kl_aligned_base")
    return [row | {"metric": name} for name in names]


def statistic_rows(head: dict, rows: list[dict]) -> list[dict]:
    if not rows:
        return []
    shares = Counter(row["shift_class"] for row in rows)
    values = {name: shares[name] / len(rows) for name in ("unshifted", "marginal", "shifted")}
    values["top3"] = values["unshifted"] + values["marginal"]
    values["kl_aligned_base"] = sum(row["kl_aligned_base"] for row in rows) / len(rows)
    head |= {"dataset": "all", "weighting": "pooled", "coverage": None, "lacking": 0}
    head["tokens"] = len(rows)
    head["prompts"] = head["clusters"] = len({row["prompt_id"] for row in rows})
    return [
        head | {"metric": name, "value": value, "ci_low": 0.95 * value, "ci_high": 1.05 * value}
        for name, value in values.items()
    ]


def category_rows(head: dict, rows: list[dict]) -> list[dict]:
    whole = sum(row["shift_class"] == "shifted" for row in rows)
    divergence = math.fsum(row["kl_aligned_base"] for row in rows)
    made = []
    for kind in sorted({row["token_category"] for row in rows}):
        kept = [row for row in rows if row["token_category"] == kind]
        shifted = sum(row["shift_class"] == "shifted" for row in kept)
        row = head | {"token_category": kind, "tokens": len(kept), "share": len(kept) / len(rows)}
        row |= {"shifted_rate": shifted / len(kept), "share_of_shifted": shifted / whole}
        row |= {"ci_low": 0.9 * shifted / len(kept), "ci_high": 1.1 * shifted / len(kept)}
        carried = math.fsum(each["kl_aligned_base"] for each in kept)
        made.append(row | {"share_of_kl": carried / divergence})
    return made


def shifted_token_rows(head: dict, rows: list[dict]) -> list[dict]:
    counts = Counter((row["token_id"], row["token"]) for row in rows)
    shifted = Counter(
        (row["token_id"], row["token"]) for row in rows if row["shift_class"] == "shifted"
    )
    made = []
    for (token_id, text), number in shifted.most_common():
        count = counts[token_id, text]
        row = head | {"token_id": token_id, "token": text, "token_category": category(text)}
        row |= {"count": count, "shifted": number, "prompts": number}
        made.append(row | {"lift": number / shifted.total() * len(rows) / count})
    return made


def make_shift_study(folder: Path, regular=12, safety=6, length=60) -> ShiftStudy:
    """Write every table of the page under `folder`; nothing is built yet."""
    prompts = prompt_rows(regular, safety)
    if regular > 1:
        prompts[1]["turns"] = [HOSTILE]
    write_study_tables(folder, prompts, length)
    write_aggregates(folder, prompts)
    figure = folder / "shift_shares.svg"
    figure.write_text('<svg viewBox="0 0 9 2"><g id="a"><text y="1">drawn</text></g></svg>')
    return ShiftStudy(folder, shift_job(folder), {"shift_shares": figure})


def shift_job(folder: Path) -> ShiftPageJob:
    names = ("name", "template", "aligned", "base", "aligned_model", "base_model")
    pairs = [dict(zip(names, pair, strict=True)) | {"decoding": None} for pair in PAIRS]
    spec = {"experiment": "synthetic", "title": "Invented shift", "digest": "0123456789ab"}
    return ShiftPageJob(
        spec=spec | {"pairs": pairs, "page": []},
        shifts={pair[0]: folder / f"{pair[0]}.parquet" for pair in PAIRS},
        statistics=folder / "shift_statistics.parquet",
        responses={"chat": folder / "chat.parquet"},
        prompts=[folder / "prompts.parquet"],
        output=folder / "report",
    )
