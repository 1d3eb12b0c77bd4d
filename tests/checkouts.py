"""Copies of the repository for tests that run Snakemake in one."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "config", "envs", "profiles", "workflow", "pyproject.toml", "slurm")


def copy_repository(folder):
    """Copy what a run needs into a folder that is there; gives that folder."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, folder / part)
        else:
            shutil.copy(source, folder / part, follow_symlinks=False)
    return folder
