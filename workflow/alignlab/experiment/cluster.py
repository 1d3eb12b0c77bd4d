"""Whether this is a place to submit Slurm jobs from, asked before the first one.

snakemake --profile slurm --config experiment=smoke
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from alignlab.errors import AlignlabError
from alignlab.experiment.yaml_files import read_yaml


def check_cluster(partitions: Path | None) -> None:
    """Check that Slurm is here and has the partitions that jobs will be sent to.

    Args:
        partitions: the profile's `partitions.yaml`; none if its jobs name their partitions.

    Raises:
        AlignlabError: no Slurm, none that answers, or a partition that it does not have.
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
    known = sorted(set(asked.stdout.split()))
    if unknown := sorted(set(read_yaml(partitions)["partitions"]) - set(known)):
        raise AlignlabError(
            f"{partitions}: this cluster has no partition {', '.join(unknown)}; "
            f"it has {', '.join(known)}"
        )
