"""URIAL K=3 with the demo's base model: prefill work, throughput and exactness against `generate`.

    make run && .venv/bin/python benchmarks/prefix_cache.py                    # about 20 minutes
    .venv/bin/python benchmarks/prefix_cache.py --prompts 16 --new-tokens 32   # about 3

One run prints ratios of things measured side by side. Plain `generate` gets the same left-padded
batches and the same stop strings; the exactness part runs it row by row, without any padding.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from alignlab.core import tables
from alignlab.engines.base import Request
from alignlab.engines.config import DecodingConfig
from alignlab.engines.transformers_engine import TransformersEngine, load
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.prompting.encode import Stopping, encoder, shared_prefix
from alignlab.prompting.frame import prompter as in_context
from alignlab.sources.datasets import FetchPromptsJob, fetch_prompts

BATCH = 32


def main() -> None:
    options = arguments()
    plan = Plan(load_experiment("demo"))
    engine = load(plan.model("gemma-3-270m").path, options.dtype, BATCH)
    prompts, prefix = urial_prompts(plan, engine, options.prompts)
    print(
        f"{len(prompts)} prompts, {options.new_tokens} new tokens, batch {BATCH}, {options.dtype}"
    )

    ours, seconds = timed(lambda: answer(engine, prompts, prefix, options.new_tokens))
    unavoidable = len(prefix) + sum(len(ids) - len(prefix) for ids in prompts)
    print(
        f"prefill: {engine.prefilled} tokens, {engine.prefilled / unavoidable:.3f} of unavoidable"
    )

    plain = AutoModelForCausalLM.from_pretrained(
        plan.model("gemma-3-270m").path, dtype=getattr(torch, options.dtype)
    ).to(engine.device)
    theirs, plain_seconds = timed(lambda: batched_generate(plain, prompts, options.new_tokens))
    speed, plain_speed = (count(a) / s for a, s in ((ours, seconds), (theirs, plain_seconds)))
    print(f"throughput: {speed:.1f} tokens/s, plain generate {plain_speed:.1f}: "
          f"ratio {speed / plain_speed:.2f}")  # fmt: skip

    alone = [generate_alone(plain, ids, options.new_tokens) for ids in prompts]
    report_equality("ours against plain row by row", prompts, ours, alone, plain)
    report_equality("plain batched against row by row", prompts, theirs, alone, plain)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=96)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    return parser.parse_args()


def urial_prompts(
    plan: Plan, engine: TransformersEngine, number: int
) -> tuple[list[list[int]], list[int]]:
    """Prompts of the demo's URIAL K=3 arm over the first MT-Bench questions, and their prefix."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompts.parquet"
        selection = {"dataset": "mt-bench", "take": number, "turns": 1}
        spec = {**plan.prompts[0].signed_spec, "selection": selection}
        fetch_prompts(FetchPromptsJob(spec=spec, output=path))
        questions = [row["turns"] for row in tables.rows("prompts", path)]
    prompter = in_context(plan.responses["urial-k3"].spec["method"])
    encode = encoder(engine.tokenizer, prompter)
    prefix = shared_prefix(prompter, encode)
    return [encode(prompter.render(turns, [])) for turns in questions], prefix


def answer(
    engine: TransformersEngine, prompts: list[list[int]], prefix: list[int], new: int
) -> list[list[int]]:
    """Our engine; no stop strings, so that both sides decode the same number of tokens."""
    requests = [Request(ids) for ids in prompts]
    found = {}
    for batch in engine.generate(requests, prefix, DecodingConfig(max_new_tokens=new), Stopping()):
        found.update(batch)
    return [found[i].token_ids for i in range(len(prompts))]


def batched_generate(model, prompts: list[list[int]], new: int) -> list[list[int]]:
    """transformers' `generate` in left-padded batches, sorted by length as ours are."""
    found = {}
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]), reverse=True)
    for at in range(0, len(order), BATCH):
        rows = order[at : at + BATCH]
        width = len(prompts[rows[0]])
        padded = [[0] * (width - len(prompts[i])) + prompts[i] for i in rows]
        mask = [[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in rows]
        output = model.generate(
            torch.tensor(padded, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            max_new_tokens=new,
            do_sample=False,
            pad_token_id=0,
        )
        found.update(
            (i, trimmed(row[width:].tolist())) for i, row in zip(rows, output, strict=True)
        )
    return [found[i] for i in range(len(prompts))]


def generate_alone(model, ids: list[int], new: int) -> list[int]:
    output = model.generate(
        torch.tensor([ids], device=model.device), max_new_tokens=new, do_sample=False
    )
    return output[0, len(ids) :].tolist()


def trimmed(ids: list[int]) -> list[int]:
    """Without the padding that `generate` puts after a row that ended."""
    while ids and ids[-1] == 0:
        ids.pop()
    return ids


@torch.inference_mode()
def report_equality(name, prompts, found, expected, model) -> None:
    """Share of equal rows, and how close the two best tokens were where others part first."""
    gaps = []
    for ids, ours, theirs in zip(prompts, found, expected, strict=True):
        if ours != theirs:
            at = next(
                (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None
            )
            if at is None:
                continue
            logits = (
                model(torch.tensor([ids + theirs[:at]], device=model.device)).logits[0, -1].float()
            )
            best = logits.topk(2).values
            gaps.append((best[0] - best[1]).item())
    equal = sum(a == b for a, b in zip(found, expected, strict=True))
    worst = f", largest top-1/top-2 gap at a first divergence {max(gaps):.4f}" if gaps else ""
    print(f"{name}: {equal} of {len(prompts)} rows equal{worst}")


def timed(run):
    start = time.perf_counter()
    return run(), time.perf_counter() - start


def count(answers: list[list[int]]) -> int:
    return sum(map(len, answers))


if __name__ == "__main__":
    main()
