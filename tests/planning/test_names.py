"""Names of artefacts when code is moved, renamed or edited, in copies of this package."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from checkouts import copy_repository

from alignlab.experiment.load import load_experiment, shipped
from alignlab.experiment.plan import Plan
from alignlab.experiment.results import Results, units
from alignlab.planning import versions as room
from alignlab.planning.fingerprint import PACKAGE, Code
from alignlab.planning.versions import Recorded, Versions


def planned(experiments):
    """Names of everything that experiments plan → its stage."""
    found = {}
    for path in experiments:
        plan = Plan(load_experiment(str(path)))
        found |= {str(artefact.path): artefact.stage for artefact in plan}
        found |= {f"{plan.path} {made.digest}": made.stage for made in Results(plan).made()}
    return found


def as_recorded(code):
    """Versions of a package whose code is all recorded, as version 1."""
    found = {name: code.fingerprint(unit.module, unit.entry) for name, unit in units().items()}
    return Versions({name: Recorded(1, now, now) for name, now in found.items()}, code)


@pytest.fixture
def plans(repository, monkeypatch):
    """A function from versions to the names of all that the shipped experiments plan."""

    def with_versions(versions):
        monkeypatch.setattr(room, "versions", lambda: versions)
        return planned(shipped())

    return with_versions


def test_an_edit_renames_the_stages_behind_it_and_none_beside(plans, tmp_path):
    recorded = as_recorded(Code())
    before = plans(recorded)
    shutil.copytree(PACKAGE, tmp_path / "alignlab")
    measure = tmp_path / "alignlab/metrics/measure.py"
    measure.write_text(measure.read_text() + "\nADDED = 1\n")
    edited = Versions(recorded.recorded, Code(tmp_path / "alignlab"))
    assert edited.behind(units().values()) == ["metrics"]
    known = {**recorded.recorded, "metrics": recorded.recorded["metrics"]._replace(version=2)}
    raised = Versions(known, Code())
    for versions in (edited, raised):
        after = plans(versions)
        gone = {stage for name, stage in before.items() if name not in after}
        kept = {stage for name, stage in before.items() if name in after}
        assert gone == {"metrics", "statistics", "discrimination"}
        assert not kept & {"metrics", "statistics"}, "of every experiment"
        # Versions that go back bring the old names back.
        assert plans(recorded) == before


class Package:
    """A copy of the repository whose modules may move."""

    def __init__(self, folder):
        self.folder, self.package = copy_repository(folder), folder / "workflow/alignlab"

    def rename(self, old, new):
        for path in self.package.rglob("*.py"):
            path.write_text(path.read_text().replace(old, new))

    def move(self, old, new):
        """Move a module, and whatever says its name."""
        (room, _, name), (there, _, other) = old.rpartition("."), new.rpartition(".")
        self.rename(f"alignlab.{old}", f"alignlab.{new}")
        self.rename(f"from alignlab.{room} import {name}", f"from alignlab.{there} import {other}")
        target = self.package / f"{new.replace('.', '/')}.py"
        target.parent.mkdir(exist_ok=True)
        (self.package / f"{old.replace('.', '/')}.py").rename(target)


LIST = "import json; from alignlab.cli import main; raise SystemExit(main(['stages', '--list']))"


def test_moves_and_other_names_of_modules_and_functions_rename_nothing(repository, tmp_path):
    package = Package(tmp_path)
    package.move("answering.generate", "engines.run")
    package.move("prompting.frame", "prompting.query_and_answer")
    package.move("metrics.refusal", "prompting.refusing")
    package.move("core.stable_random", "statistics.lots")
    package.move("learning.recipes", "learning.making_sets")
    package.rename("LocalRespondent", "LoadedModel")
    package.rename("build_prompter", "prompter_of")
    package.rename("no such file or folder", "there is no such file")
    found = [
        subprocess.run(
            [sys.executable, "-c", LIST],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder / "workflow")},
            capture_output=True,
            text=True,
        )
        for folder in (repository, tmp_path)
    ]
    assert not any(run.returncode for run in found), found[1].stderr
    assert json.loads(found[0].stdout) == json.loads(found[1].stdout)
