"""Our vLLM engine against raw `vllm.LLM.generate` and plain transformers, URIAL K=3, one run.

    make vllm && make run
    .venv-vllm/bin/python benchmarks/vllm_engine.py              # about 20 minutes on 2 cores

Raw vLLM is loaded with its own defaults (scheduler in a process of its own, its detokenizer on),
but on all cores: by default it would leave one to other processes, half of a small machine. Both
get the same token ids and the same end tokens, no stop strings, and start every round with an empty
prefix cache; rounds alternate. Plain `generate` gets some of the prompts, in left-padded batches of
32: it is compared by tokens a second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from alignlab.core import tables
from alignlab.engines import vllm_engine as ours
from alignlab.engines.base import Request
from alignlab.engines.config import DecodingConfig
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.prompting.encode import Stopping, encoder, shared_prefix
from alignlab.prompting.frame import prompter as in_context
from alignlab.sources.datasets import FetchPromptsJob, fetch_prompts

BATCH = 32
# Questions that are asked on their own, first and second turns: 200 together.
DATASETS = {"mt-bench": 80, "strongreject-small": 40}


def main() -> None:
    options = arguments()
    plan = Plan(load_experiment("demo"))
    folder = plan.model(options.model).path
    prompts, prefix = urial_prompts(plan, AutoTokenizer.from_pretrained(folder))
    raw = raw_vllm(folder, options.dtype)
    engine = ours.load(folder, options.dtype, BATCH)
    print(
        f"{options.model}, {options.dtype}: {len(prompts)} prompts of {mean_length(prompts):.0f} "
        f"tokens, {len(prefix)} of them shared; {options.new_tokens} new tokens at most"
    )
    rates: dict[str, list[float]] = {"raw": [], "ours": []}
    for turn in range(options.rounds):
        rates["raw"].append(timed(lambda: ask_raw(raw, engine, prompts, options.new_tokens)))
        rates["ours"].append(timed(lambda: ask_ours(engine, prompts, options.new_tokens)))
        last = ", ".join(f"{name} {found[-1]:.1f}" for name, found in rates.items())
        print(f"round {turn}, tokens/s: {last}", flush=True)
    raw_rate, our_rate = (statistics.median(found) for found in rates.values())
    hits = engine.cached / engine.prompted
    print(f"prefix cache: {engine.cached} of {engine.prompted} prompt tokens reused ({hits:.1%})")
    print(f"ours / raw vLLM: {our_rate / raw_rate:.3f} (medians {our_rate:.1f}, {raw_rate:.1f})")
    some = prompts[: options.plain]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, options.dtype))
    plain = timed(lambda: ask_plain(model, some, options.new_tokens))
    print(f"plain transformers on {len(some)}: {plain:.1f} tokens/s; ours {our_rate / plain:.1f}×")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--plain", type=int, default=BATCH, help="prompts for plain transformers")
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16"])
    return parser.parse_args()


def raw_vllm(folder: Path, dtype: str):
    """vLLM as its documentation has it; what we set for our own engine comes later."""
    from vllm import LLM

    return LLM(str(folder), dtype=dtype, generation_config="vllm")


def urial_prompts(plan: Plan, tokenizer) -> tuple[list[list[int]], list[int]]:
    prompter = in_context(plan.responses["urial-k3"].spec["method"])
    encode = encoder(tokenizer, prompter)
    questions = [q for dataset, number in DATASETS.items() for q in asked(plan, dataset, number)]
    return [encode(prompter.render([q], [])) for q in questions], shared_prefix(prompter, encode)


def asked(plan: Plan, dataset: str, number: int) -> list[str]:
    prompts = next(p for p in plan.prompts if p.name == dataset)
    spec = {**prompts.signed_spec, "selection": {"dataset": dataset, "take": number}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompts.parquet"
        fetch_prompts(FetchPromptsJob(spec=spec, place=prompts.place, output=path))
        return [question for row in tables.rows("prompts", path) for question in row["turns"]]


def ask_raw(llm, engine, prompts: list[list[int]], new: int) -> int:
    """Tokens that raw vLLM generates."""
    from vllm import SamplingParams

    llm.reset_prefix_cache()
    params = SamplingParams(temperature=0, max_tokens=new, stop_token_ids=sorted(engine.end_ids))
    given = [{"prompt_token_ids": ids} for ids in prompts]
    return sum(len(o.outputs[0].token_ids) for o in llm.generate(given, params, use_tqdm=False))


def ask_ours(engine, prompts: list[list[int]], new: int) -> int:
    """Tokens that our engine generates."""
    engine.llm.reset_prefix_cache()
    requests = [Request(ids) for ids in prompts]
    chunks = engine.generate(requests, [], DecodingConfig(max_new_tokens=new), Stopping())
    return sum(len(done.token_ids) for chunk in chunks for _, done in chunk)


@torch.inference_mode()
def ask_plain(model, prompts: list[list[int]], new: int) -> int:
    """Tokens that transformers' own `generate` makes, padding after the end not counted."""
    made = 0
    for at in range(0, len(prompts), BATCH):
        rows = prompts[at : at + BATCH]
        width = max(map(len, rows))
        mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows])
        ids = torch.tensor([[0] * (width - len(r)) + r for r in rows])
        output = model.generate(
            ids, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=0
        )
        made += int((output[:, width:] != 0).sum())
    return made


def timed(run) -> float:
    """Tokens a second."""
    start = time.perf_counter()
    made = run()
    return made / (time.perf_counter() - start)


def mean_length(prompts: list[list[int]]) -> float:
    return statistics.fmean(map(len, prompts))


if __name__ == "__main__":
    # vLLM reads its settings when they are used: raw vLLM keeps its own defaults, all but noise.
    os.environ["VLLM_LOGGING_LEVEL"] = "WARNING"
    # Without a GPU each of the two would reserve nearly all memory of the machine.
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = "2"
    os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
    main()
