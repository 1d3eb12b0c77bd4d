"""Five aspects of an answer judged with what they share run once, against five separate calls.

    .venv/bin/python benchmarks/judge_prefix.py results/store/models/NAME-DIGEST       # 16 answers
    .venv/bin/python benchmarks/judge_prefix.py results/store/models/NAME-DIGEST 4

One run prints ratios of things measured side by side: the separate calls are transformers' own
forward passes over whole prompts, in batches of as many rows, with the same weights in float32.
Answers are those of `icl/pool`, about 90 words each.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from alignlab.engines.scoring import load
from alignlab.judging.cases import Case, message
from alignlab.judging.config import resolved_rubric
from alignlab.judging.local_judge import LocalJudge
from alignlab.prompting.prompt_files import example_pool

BATCH = 8


def main() -> None:
    options = arguments()
    judge = LocalJudge(load(options.model, "float32", BATCH), options.model.name, 0)
    rubric = resolved_rubric("judge/quality")
    pairs = example_pool("icl/pool", options.answers)[: options.answers]
    cases = [
        Case(str(number), 0, 0, {"conversation": "", **pair}) for number, pair in enumerate(pairs)
    ]
    print(f"{len(cases)} answers, {len(rubric['aspects'])} aspects, batches of {BATCH}, float32")

    found, seconds = timed(lambda: dict(judge.judge(rubric, cases)))
    ours = [score.value for index in range(len(cases)) for score in found[index]]
    print(f"shared: {seconds / len(cases):.2f} s an answer, {judge.engine.prefilled} tokens run")

    judge.engine.model.set_attn_implementation("sdpa")
    theirs, plain_seconds = timed(lambda: separate(judge, rubric, cases))
    print(f"separate: {plain_seconds / len(cases):.2f} s an answer")
    print(f"ratio {plain_seconds / seconds:.2f} (3 wanted)")

    gaps = [abs(a - b) for a, b in zip(ours, theirs, strict=True) if a is not None]
    print(f"{len(gaps)} of {len(ours)} scored; largest difference of an expected score "
          f"{max(gaps):.1e} (1e-3 wanted)")  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("answers", type=int, nargs="?", default=16)
    return parser.parse_args()


def separate(judge: LocalJudge, rubric, cases: list[Case]) -> list[float]:
    """Expected scores of every case and aspect, each from a prompt of its own."""
    aspects = rubric["aspects"]
    prompts = [judge._ids(message(rubric, case, aspect)) for case in cases for aspect in aspects]
    scales = [(judge._choices(rubric, aspect), aspect["values"]) for aspect in aspects] * len(cases)
    found = {}
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]), reverse=True)
    for at in range(0, len(order), BATCH):
        batch = order[at : at + BATCH]
        for i, logits in zip(batch, last_logits(judge, [prompts[i] for i in batch]), strict=True):
            ids, values = scales[i]
            found[i] = (logits[ids].softmax(-1) @ torch.tensor(values).float()).item()
    return [found[i] for i in range(len(prompts))]


@torch.inference_mode()
def last_logits(judge: LocalJudge, rows: list[list[int]]) -> torch.Tensor:
    """After each row, [rows, vocab], by one padded forward pass."""
    engine = judge.engine
    positions = engine.positions(rows, 0)
    output = engine.model(
        input_ids=engine.padded(rows),
        attention_mask=positions.ge(0).long(),
        position_ids=positions.clamp(min=0),
        logits_to_keep=1,
        use_cache=False,
    )
    return output.logits[:, -1]


def timed(run):
    start = time.perf_counter()
    return run(), time.perf_counter() - start


if __name__ == "__main__":
    main()
