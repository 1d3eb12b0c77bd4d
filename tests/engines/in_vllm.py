"""What the tests have vLLM do, in its own interpreter: JSON in, the path of JSON out.

.venv-vllm/bin/python tests/engines/in_vllm.py < order.json
"""

import json
import sys
from pathlib import Path

from alignlab.engines.base import Request
from alignlab.engines.config import DecodingConfig
from alignlab.engines.vllm_engine import load
from alignlab.prompting.encode import Stopping


def main() -> None:
    """Load one model, answer every case, and write what each gave."""
    order = json.load(sys.stdin)
    adapter = Path(order["adapter"]) if order.get("adapter") else None
    engine = load(Path(order["folder"]), "float32", order["batch_size"], adapter)
    found = [answered(engine, case) for case in order["cases"]]
    answers = {
        "window": engine.context_window,
        "end_ids": sorted(engine.end_ids),
        "template": engine.tokenizer.chat_template,
        "cases": found,
        "unfinished": engine.llm.llm_engine.get_num_unfinished_requests(),
    }
    Path(order["output"]).write_text(json.dumps(answers))


def answered(engine, case):
    """Answers in the order of the prompts, and the sizes of the chunks they came in."""
    engine.llm.reset_prefix_cache()
    cached = engine.cached
    seeds = case.get("seeds") or [None] * len(case["prompts"])
    requests = [Request(*pair) for pair in zip(case["prompts"], seeds, strict=True)]
    stopping = Stopping(tuple(case.get("stop", ())), case.get("fenced", False))
    if "end_ids" in case:
        engine.end_ids = set(case["end_ids"])
    chunks = []
    for chunk in engine.generate(requests, [], DecodingConfig(**case["decoding"]), stopping):
        chunks.append(chunk)
        if case.get("leave"):
            break
    done = dict(pair for chunk in chunks for pair in chunk)
    return {
        "ids": [done[i].token_ids if i in done else None for i in range(len(requests))],
        "reasons": [done[i].finish_reason if i in done else None for i in range(len(requests))],
        "chunks": [len(chunk) for chunk in chunks],
        "cached": engine.cached - cached,
    }


if __name__ == "__main__":
    main()
