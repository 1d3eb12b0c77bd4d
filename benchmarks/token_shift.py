"""Token shift: time and memory against the published algorithm, full logits and the bare work.

    make run && .venv/bin/python benchmarks/token_shift.py      # the demo's models, about 5 minutes
    .venv/bin/python benchmarks/token_shift.py --shape 7b       # random weights, for a GPU

One run prints ratios of things measured side by side, on an answer of 128 tokens after a prompt of
1,000. The published algorithm (AlignTDS) runs an uncached forward pass per position; a sample of
its positions is timed, evenly spread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.shift.model import TOP, Forced, HeadPair, ScoringModel, Weights

PROMPT, ANSWER, SAMPLE, REPEATS = 1000, 128, 4, 3
SHAPE_7B = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 4096,
}


class Pair:
    """Two loaded models, and the answers to score: ids alone decide the time."""

    def __init__(self, base: Weights, aligned: Weights, dtype: str) -> None:
        self.base, self.aligned = ScoringModel(base, dtype), ScoringModel(aligned, dtype)
        self.weights = memory()
        self.heads = HeadPair(self.base.head, self.aligned.head)
        self.device = self.base.engine.device

    def answers(self, count: int) -> list[list[Forced]]:
        """Batches of one answer each, without a token in common."""
        chance = torch.Generator().manual_seed(0)
        rows = torch.randint(100, 30_000, (count, PROMPT + ANSWER), generator=chance).tolist()
        return [[Forced(row[:PROMPT], row[PROMPT:])] for row in rows]

    def score(self, batches: list[list[Forced]]) -> None:
        """What a scoring job does with its answers."""
        sides = self.base.states(batches, []), self.aligned.states(batches, [])
        for batch, base, aligned in zip(batches, *sides, strict=True):
            self.heads.compare(base, aligned, torch.tensor(batch[0].answer, device=self.device))

    def bare(self, batches: list[list[Forced]]) -> None:
        """Two bodies and two heads on the answer's rows, and nothing with the logits."""
        for batch in batches:
            for side in (self.base, self.aligned):
                for states in side.states([batch], []):
                    side.engine.model.get_output_embeddings()(states)

    def full(self, batches: list[list[Forced]]) -> None:
        """The usual way: logits of every position, their log-softmax, then what is asked for."""
        for batch in batches:
            ids = torch.tensor([batch[0].context + batch[0].answer], device=self.device)
            base, aligned = (self.log_probs(side, ids) for side in (self.base, self.aligned))
            divergences(base[0, PROMPT - 1 : -1], aligned[0, PROMPT - 1 : -1], ids[0, PROMPT:])

    def published(self, batches: list[list[Forced]]) -> None:
        """One forward pass a position and model, without a cache; a sample of positions."""
        row = batches[0][0]
        for at in range(0, ANSWER, ANSWER // SAMPLE):
            ids = torch.tensor([row.context + row.answer[:at]], device=self.device)
            for side in (self.base, self.aligned):
                plain(side, ids)[0, -1].float().softmax(dim=-1).topk(30)

    def log_probs(self, side: ScoringModel, ids: torch.Tensor) -> torch.Tensor:
        """Of every position, [1, tokens, vocabulary]."""
        return plain(side, ids).float().log_softmax(dim=-1)


def plain(side: ScoringModel, ids: torch.Tensor) -> torch.Tensor:
    """Logits of every position by the model's own forward, with torch's fused attention."""
    model = side.engine.model
    model.set_attn_implementation("sdpa")
    try:
        return model(input_ids=ids, use_cache=False).logits
    finally:
        model.set_attn_implementation("alignlab_prefix")


def divergences(base: torch.Tensor, aligned: torch.Tensor, tokens: torch.Tensor) -> None:
    """The same statistics from log-probabilities [rows, vocabulary]."""
    q, p = base.exp(), aligned.exp()
    ratio = aligned - base
    chosen = base.gather(1, tokens[:, None])
    _ = (base > chosen).sum(1), (p * ratio).sum(1), (q * -ratio).sum(1)
    _ = (p * aligned).sum(1), (q * base).sum(1), base.topk(TOP), aligned.topk(TOP)
    middle = ((p + q) / 2).log()
    _ = (p * (aligned - middle) + q * (base - middle)).sum(1)


def seconds(work: Callable[[list[list[Forced]]], None], batches: list[list[Forced]]) -> float:
    """Best of some runs; a shared machine only ever adds time."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        work(batches)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


@torch.inference_mode()
def measure(pair: Pair) -> None:
    one = pair.answers(1)
    start_peak()
    pair.score(one)
    print(f"memory above the models: {peak() - pair.weights:.0f} MB")
    ours = seconds(pair.score, one)
    print(f"our scoring: {ours:.2f} s for an answer of {ANSWER} tokens after {PROMPT}")
    bare, full = seconds(pair.bare, one), seconds(pair.full, one)
    print(f"bare work: {bare:.2f} s, ours takes {ours / bare:.2f} of it")
    print(f"full logits: {full:.2f} s, {full / ours:.2f} times ours")
    sample = seconds(pair.published, one)
    whole = sample * ANSWER / SAMPLE
    print(
        f"published: {sample:.1f} s for {SAMPLE} of {ANSWER} positions, so {whole:.0f} s for all,"
    )
    print(f"           {whole / ours:.0f} times ours")
    for times in (2, 4):
        print(f"{times} answers: {seconds(pair.score, pair.answers(times)) / ours:.2f} of one")
    if torch.cuda.is_available():
        weights = sum(p.numel() for m in (pair.base, pair.aligned) for p in body(m))
        done = 2 * weights * (PROMPT + ANSWER) + 2 * ANSWER * 2 * pair.heads.base.weight.numel()
        rate = done / ours / 1e12
        print(f"{rate:.0f} TFLOP/s, {rate / 989:.0%} of an H100's 989 in bfloat16")


def body(model: ScoringModel) -> list[torch.nn.Parameter]:
    """Weights that every token is multiplied with."""
    return [p for name, p in model.engine.model.named_parameters() if "layers" in name]


def memory() -> float:
    """MB held now."""
    if torch.cuda.is_available():
        return torch.cuda.memory_allocated() / 1e6
    return _status("VmRSS")


def peak() -> float:
    """MB held at most since `start_peak`."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    return _status("VmHWM")


def start_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(key))


def demo_pair() -> Pair:
    plan = Plan(load_experiment("demo"))
    entry = plan.experiment.tuned[0]
    folder = plan.model(entry.base).path
    return Pair(Weights(folder), Weights(folder, plan.adapters[entry.name].path), "float32")


def random_pair(folder: Path) -> Pair:
    """Two models of random weights in a 7B shape, bfloat16."""
    tokenizer = AutoTokenizer.from_pretrained("config/catalog/tiny-tokenizer")
    sides = []
    for seed, name in enumerate(("base", "aligned")):
        torch.manual_seed(seed)
        config = AutoConfig.for_model(**SHAPE_7B, dtype="bfloat16")
        with torch.device("cuda"):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        sides.append(Weights(folder / name))
        del model
        torch.cuda.empty_cache()
    return Pair(*sides, "bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=["demo", "7b"], default="demo")
    if parser.parse_args().shape == "demo":
        measure(demo_pair())
        return
    print(torch.cuda.get_device_name())
    with tempfile.TemporaryDirectory() as folder:
        measure(random_pair(Path(folder)))


if __name__ == "__main__":
    main()
