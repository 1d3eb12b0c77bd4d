"""Has vLLM answer by one model after another, in its own interpreter; see `test_packed.py`.

.venv-vllm/bin/python tests/engines/in_vllm_packed.py < order.json
"""

import gc
import json
import sys
from pathlib import Path

from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

from alignlab.core.errors import AlignlabError
from alignlab.engines.vllm_engine import load


def main() -> None:
    """Write what each model gave: ids and log-probabilities, or why it was refused."""
    order = json.load(sys.stdin)
    found = {name: answered(Path(folder), **case) for name, folder, case in order["models"]}
    Path(order["output"]).write_text(json.dumps(found))


def answered(folder, dtype, prompts, new, longer):
    try:
        engine = load(folder, dtype, 4)
    except AlignlabError as error:
        return {"refused": str(error)}
    found = {"room": engine.room, "window": engine.context_window}
    found["lacks"] = engine.lacks_room([len(ids) for ids in prompts], longer)
    found["answers"] = engine.greedy(prompts, new)
    engine.llm.llm_engine.engine_core.shutdown()
    del engine
    gc.collect()
    cleanup_dist_env_and_memory()
    return found


if __name__ == "__main__":
    main()
