"""What a run finds outside the package: Pythons that run engines, Slurm, the sizes of models.

vLLM has an environment of its own (`make vllm`). With `--sdm conda` the job's environment has vLLM
in it and needs no other Python.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from alignlab.core.config import read_yaml
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


def check_cluster(partitions: Path | None, accounts: Collection[str]) -> None:
    """Check that Slurm is here and takes jobs for their partitions and accounts.

    Args:
        partitions: the profile's `partitions.yaml`; none if its jobs name their partitions.
        accounts: what jobs say of theirs: one name, or several with commas or spaces between them.

    Raises:
        AlignlabError: no Slurm, none that answers, a partition that it does not have, or an account
            that it refuses in every partition.
    """
    if missing := [name for name in ("sbatch", "squeue", "sinfo") if not shutil.which(name)]:
        raise AlignlabError(
            f"profile slurm: no {', '.join(missing)} here; run Snakemake on a machine that submits "
            "Slurm jobs, or on this one with `snakemake --cores 2`"
        )
    asked = subprocess.run(
        ["sinfo", "--noheader", "--format=%R"], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise AlignlabError(f"profile slurm: Slurm does not answer: {asked.stderr.strip()}")
    if partitions is None:
        return
    wanted, known = read_yaml(partitions)["partitions"], sorted(set(asked.stdout.split()))
    if unknown := sorted(set(wanted) - set(known)):
        raise AlignlabError(
            f"{partitions}: this cluster has no partition {', '.join(unknown)}; "
            f"it has {', '.join(known)}"
        )
    for account in sorted(set(re.split(r"[,\s]+", ",".join(accounts))) - {""}):
        if all(_refused(account, partition) for partition in wanted):
            raise AlignlabError(
                f"slurm_account: Slurm refuses account {account} in partition "
                f"{', '.join(wanted)}; `sacctmgr show associations user=$USER` lists yours"
            )


def _refused(account: str, partition: str) -> bool:
    """Whether a job would be refused for its account: a site's other rules are not asked here."""
    command = ["sbatch", "--test-only", f"--account={account}", f"--partition={partition}"]
    asked = subprocess.run([*command, "--wrap=true"], capture_output=True, text=True, check=False)
    return asked.returncode != 0 and "Invalid account" in asked.stderr


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
