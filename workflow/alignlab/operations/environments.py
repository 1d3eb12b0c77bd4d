"""What a run finds outside the package: Pythons that run engines, the sizes of models.

vLLM has an environment of its own (`make vllm`). With `--sdm conda` the job's environment has vLLM
in it and needs no other Python.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from alignlab.core.errors import AlignlabError
from alignlab.experiment.plan import Plan
from alignlab.planning.artefact import Artefact, lineage

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


def find_python_by_name() -> None:
    """Let Snakemake start jobs by `python`, where this one's path has spaces or the like.

    It writes `sys.executable` into command lines without quotes, so a shell would cut it. Jobs
    find this one first on their `PATH`, and begin with its whole path as theirs.
    """
    python = Path(sys.executable)
    if shlex.quote(sys.executable) != sys.executable:
        os.environ["PATH"] = os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])
        sys.executable = "python"


def check_folder(folder: Path) -> None:
    """Check that jobs can be started from a folder.

    Snakemake writes paths into command lines as Python quotes a text, and a shell reads them.

    Raises:
        AlignlabError: a shell would read another path; the message says which characters do it.
    """
    path = str(folder)
    apostrophe = "'" in path
    odd = {each for each in path if each == "\\" or not each.isprintable()}
    odd |= set(path) & set('$`"') if apostrophe else set()
    if odd:
        named = ", ".join(map(repr, sorted(odd)))
        beside = " beside an apostrophe" if apostrophe else ""
        raise AlignlabError(
            f"{path}: Snakemake cannot start jobs in a folder whose path has {named}{beside}; "
            "move the project, or rename the folder"
        )


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


def check_sizes(due: Iterable[Artefact]) -> None:
    """Check that the sizes of all models are known that artefacts are made by.

    Raises:
        AlignlabError: one is not; its jobs would ask for too little and be killed.
    """
    for artefact in lineage(due):
        if artefact.stage == "models":
            entry = artefact.facts
            if entry.role != "embedder" and not entry.parameters:
                raise AlignlabError(
                    f"config/catalog/models.yaml: {artefact.name}: no `parameters`, by which the "
                    "memory of its jobs is counted"
                )
