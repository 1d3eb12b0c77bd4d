"""Whether this is a place to submit Slurm jobs from, asked before the first one.

snakemake --profile slurm --config experiment=smoke
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Collection, Iterable
from pathlib import Path

from alignlab.core.config import read_yaml
from alignlab.core.errors import AlignlabError
from alignlab.planning.artefact import Artefact, lineage


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
