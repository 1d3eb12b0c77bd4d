"""Folders where the recorded and today's code run, and what experiments make in each.

`make stages` makes both folders, and removes them when it has compared.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TypedDict

from alignlab.core.config import CONFIG
from alignlab.core.errors import AlignlabError
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.experiment.results import Results, units
from alignlab.operations.evidence.loopback import NOWHERE
from alignlab.planning.artefact import Artefact

SHIPPED = ("smoke", "smoke-lfm")
"""Shipped experiments that are evidence too; `config/evidence` has what they leave out."""
LOCK = Path("workflow/stages.lock")
# Its files are appended to, so they must not be shared; and replies would answer for new code.
NOT_SHARED = shutil.ignore_patterns("replies", "aside", "*.parts")


class Made(TypedDict):
    """A table or folder of an experiment.

    Attributes:
        experiment: as `snakemake --config experiment=...` takes it.
        kind: its stage, or what its table of statistics is.
        path: relative to the working directory; a job that makes it makes what else has its digest.
        digest: of its slice.
        units: code unit → its version, or its fingerprint where it is not as recorded.
        parents: digests of what it is made from.
    """

    experiment: str
    kind: str
    path: str
    digest: str
    units: dict[str, str]
    parents: list[str]


def experiments() -> list[str]:
    """The experiments that are evidence, in the order in which they are run."""
    return [*SHIPPED, *(str(path) for path in sorted((CONFIG / "evidence").glob("*.yaml")))]


def inventory() -> list[Made]:
    """Everything that code with a version makes of the evidence, each experiment on its own.

    Raises:
        AlignlabError: an experiment is not valid.
    """
    versioned = units().keys()
    made = (made for name in experiments() for made in _made(name))
    return [each for each in made if not versioned.isdisjoint(each["units"])]


def _made(name: str) -> Iterator[Made]:
    plan = Plan(load_experiment(name))
    for artefact in plan:
        yield _entry(name, artefact.stage, artefact)
    for table in Results(plan).made():
        yield _entry(name, f"table {table.stage}", table)


def _entry(name: str, kind: str, artefact: Artefact) -> Made:
    return {
        "experiment": name,
        "kind": kind,
        "path": str(artefact.path),
        "digest": artefact.digest,
        "units": artefact.slice["code"],
        "parents": sorted(set(_digests(artefact.spec.get("parents", {})))),
    }


def _digests(value: Any) -> Iterator[str]:
    """Digests in a slice's `parents`, however they are nested."""
    if isinstance(value, str):
        yield value
    else:
        for part in value.values() if isinstance(value, dict) else value:
            yield from _digests(part)


@dataclass(frozen=True)
class Tree:
    """A copy of the repository with its own results; its own package code is what runs."""

    folder: Path

    def inventory(self) -> list[Made]:
        """What its evidence experiments make.

        Raises:
            AlignlabError: it cannot say, for example because it refuses an experiment.
        """
        return json.loads(self._python("alignlab.cli", "stages", "--list"))

    def make(self, experiment: str, paths: Iterable[str]) -> None:
        """Run the jobs that make some of an experiment's artefacts.

        Raises:
            AlignlabError: a job failed; the message has the end of what Snakemake printed.
        """
        cores = str(os.cpu_count() or 1)
        options = ("--cores", cores, "--quiet", "--config", f"experiment={experiment}")
        self._python("snakemake", *options, "--", *paths)

    def share(self, other: Tree) -> None:
        """Start from another tree's results: the same files, under names of its own."""
        shutil.rmtree(self.folder / "results", ignore_errors=True)
        theirs = other.folder / "results"
        for source in [theirs / "store", *theirs.glob("*/tables")]:
            target = self.folder / "results" / source.relative_to(theirs)
            shutil.copytree(source, target, copy_function=os.link, ignore=NOT_SHARED)

    def _python(self, module: str, *arguments: str) -> str:
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder / "workflow"),
            "WANDB_API_KEY": "",
            # Sums of floats depend on how many threads add them.
            "OMP_NUM_THREADS": "1",
        }
        run = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        if run.returncode:
            said = "\n".join((run.stdout + run.stderr).splitlines()[-40:])
            raise AlignlabError(f"the {self.folder.name} code failed at {module}:\n{said}")
        return run.stdout


def recorded_tree(root: Path, commit: str, folder: Path, endpoint: str) -> Tree:
    """The code of a commit."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", commit], cwd=root, capture_output=True, check=True
    )
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    _furnish(folder, root, endpoint)
    return Tree(folder)


def todays_tree(root: Path, recorded: Tree, folder: Path, lock: str, endpoint: str) -> Tree:
    """The code as it is, committed or not, with the experiments and catalog of the recorded tree
    and a lock that takes it as recorded, so that equal artefacts have equal names.
    """
    for name in git(root, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name, follow_symlinks=False)
    shutil.copytree(recorded.folder / "config", folder / "config", dirs_exist_ok=True)
    (folder / LOCK).write_text(lock, encoding="utf-8")
    _furnish(folder, root, endpoint)
    return Tree(folder)


def _furnish(folder: Path, root: Path, endpoint: str) -> None:
    """Give a tree what git does not have: vLLM's environment, and where the endpoint is."""
    if (root / ".venv-vllm").exists():
        (folder / ".venv-vllm").symlink_to((root / ".venv-vllm").resolve())
    for path in (folder / "config/catalog").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(NOWHERE, endpoint), encoding="utf-8")


def git(root: Path, *arguments: str) -> str:
    """What a git command prints.

    Raises:
        AlignlabError: it failed, as it does outside a checkout.
    """
    try:
        run = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except OSError as error:
        raise AlignlabError("`make stages` needs git: it compares with a commit") from error
    if run.returncode:
        raise AlignlabError(
            "`make stages` compares today's code with that of a commit, so it needs the git "
            f"checkout: git {arguments[0]}: {run.stderr.strip()}"
        )
    return run.stdout
