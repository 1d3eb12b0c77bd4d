"""What is asked of Slurm before the first job: does it take jobs as this run would submit them?"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignlab.core.errors import AlignlabError
from alignlab.operations.slurm.partitions import (
    fitting,
    limits_of,
    partitions_of,
    slurms,
    spelled,
)

if TYPE_CHECKING:
    from snakemake_executor_plugin_slurm.partitions import Partition


def check_cluster(
    partitions: Path | None, accounts: Collection[str], jobs: Iterable[Any] = ()
) -> None:
    """Check that Slurm is here and takes jobs for their partitions and accounts.

    Args:
        partitions: the profile's `partitions.yaml`; none if its jobs name their partitions.
        accounts: what jobs say of theirs: one name, or several with commas or spaces between them.
        jobs: Snakemake's, that will be submitted.

    Raises:
        AlignlabError: no Slurm, none that answers, a partition that it does not have, an account
            that it refuses in every partition, or a job that fits no partition.
    """
    if partitions is None:
        slurms()
        return
    found = partitions_of(partitions)
    _check_accounts([each.name for each in found], accounts)
    _check_jobs(found, jobs)


def _check_accounts(partitions: Sequence[str], accounts: Collection[str]) -> None:
    for account in sorted(set(re.split(r"[,\s]+", ",".join(accounts))) - {""}):
        if all(_refused(account, partition) for partition in partitions):
            raise AlignlabError(
                f"slurm_account: Slurm refuses account {account} in partition "
                f"{', '.join(partitions)}; `sacctmgr show associations user=$USER` lists yours"
            )


def _refused(account: str, partition: str) -> bool:
    """Whether a job would be refused for its account: a site's other rules are not asked here."""
    command = ["sbatch", "--test-only", f"--account={account}", f"--partition={partition}"]
    asked = subprocess.run([*command, "--wrap=true"], capture_output=True, text=True, check=False)
    return asked.returncode != 0 and "Invalid account" in asked.stderr


def _check_jobs(partitions: Sequence[Partition], jobs: Iterable[Any]) -> None:
    """Refuse a job that fits no partition: it would wait for ever, or be refused in its turn."""
    for job in jobs:
        if not job.resources.get("slurm_partition") and not fitting(partitions, job):
            wanted = {name: job.resources.get(name) for name in ("mem_mb", "runtime", "gpu")}
            given = "; ".join(f"{each.name} {spelled(limits_of(each))}" for each in partitions)
            raise AlignlabError(
                f"rule {job.rule.name} ({', '.join(job.wildcards)}) asks for {spelled(wanted)}, "
                f"and no partition gives that: {given}. Ask for less with `--set-resources "
                f"{job.rule.name}:mem_mb=...` (or runtime=...), or add a partition to the "
                "profile's partitions.yaml"
            )


def check_logs(folder: Path) -> None:
    """Check that the folder for logs of Slurm's jobs can be written: without them none starts.

    Raises:
        AlignlabError: it cannot; the message says how to name another one.
    """
    if set("%\\") & set(str(folder.absolute())):
        raise AlignlabError(
            f"{folder.absolute()}: Slurm reads % and \\ in the path of a log as signs: for %j "
            "it writes a number; work in another folder, or name one by `--slurm-logdir`"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise AlignlabError(
            f"{folder}: cannot be written: {error.strerror}; `--slurm-logdir` names another folder"
        ) from error
