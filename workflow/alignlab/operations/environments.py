"""Which Python runs an engine: this one, or that of an environment of the engine's own.

    make vllm                                   # makes the environment of vLLM

With `--sdm conda` the job's environment has vLLM in it and nothing here is needed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from alignlab.core.errors import AlignlabError
from alignlab.experiment.plan import Plan
from alignlab.planning.artefact import Artefact

VLLM = Path(".venv-vllm") / "bin" / "python"


def python_of(engine: str) -> Path:
    """The interpreter that runs an engine: this one, if it can.

    Raises:
        AlignlabError: there is none; the message says which command makes one.
    """
    if engine != "vllm" or find_spec("vllm"):
        return Path(sys.executable)
    if not VLLM.exists():
        raise AlignlabError(
            f"vLLM is not installed: neither this environment nor {VLLM} has it; run `make vllm`, "
            "or Snakemake with `--sdm conda`"
        )
    return VLLM.absolute()


def check_engines(plan: Plan, due: Iterable[Artefact]) -> None:
    """Refuse to make answers that no installed engine can give.

    Args:
        plan: of the experiment, for the message.
        due: those of its artefacts that are about to be made.

    Raises:
        AlignlabError: one of them wants vLLM, and it is not installed.
    """
    for artefact in due:
        engine = artefact.slice.get("engine", {}).get("name")
        if artefact.stage in ("responses", "engine_checks"):
            try:
                python_of(engine)
            except AlignlabError as error:
                raise AlignlabError(
                    f"{plan.path}: {artefact.name} ({artefact.slice['model']}): {error}"
                ) from None


def hand_over(python: Path, module: str, arguments: dict[str, Any]) -> NoReturn:
    """Become another interpreter that runs a module, with JSON on its standard input.

    The process is replaced: whatever ends the job ends the engine.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        json.dump(arguments, file)
        file.seek(0)
        os.dup2(file.fileno(), 0)
    sys.stdout.flush()
    os.execv(python, [str(python), "-m", module])
