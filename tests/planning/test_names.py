"""Names of artefacts when code is moved, renamed or edited, in copies of this package."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from checkouts import copy_repository

from alignlab.experiment import outputs, outputs_judging, units
from alignlab.experiment.load import load_experiment, shipped
from alignlab.experiment.plan import Plan
from alignlab.planning.fingerprint import PACKAGE, Code
from alignlab.planning.versions import Recorded, Versions

TABLES = (
    *(outputs.summary_spec, outputs.study_spec, outputs.shift_spec, outputs.trainsets_spec),
    outputs_judging.judges_spec,
)


def planned(experiments):
    """Names of everything that experiments plan → its stage."""
    found = {}
    for path in experiments:
        plan = Plan(load_experiment(str(path)))
        found |= {str(artefact.path): artefact.stage for artefact in plan}
        found |= {f"{plan.path} {made(plan)['digest']}": made.__name__ for made in TABLES}
    return found


def as_recorded(code):
    """Versions of a package whose code is all recorded, as version 1."""
    found = {unit: Recorded(1, code.fingerprint(module)) for unit, module in units.UNITS.items()}
    return Versions(found, units.UNITS, units.PAGES, code)


@pytest.fixture
def plans(repository, monkeypatch):
    """A function from versions to the names of all that the shipped experiments plan."""

    def with_versions(versions):
        monkeypatch.setattr(units, "versions", lambda: versions)
        return planned(shipped())

    return with_versions


def test_an_edit_renames_the_stages_behind_it_and_none_beside(plans, tmp_path):
    recorded = as_recorded(Code())
    before = plans(recorded)
    shutil.copytree(PACKAGE, tmp_path / "alignlab")
    measure = tmp_path / "alignlab/metrics/measure.py"
    measure.write_text(measure.read_text() + "\nADDED = 1\n")
    edited = Versions(recorded.recorded, units.UNITS, units.PAGES, Code(tmp_path / "alignlab"))
    assert edited.behind() == ["metrics"]
    known = {**recorded.recorded, "metrics": recorded.recorded["metrics"]._replace(version=2)}
    raised = Versions(known, units.UNITS, units.PAGES, Code())
    for versions in (edited, raised):
        after = plans(versions)
        gone = {stage for name, stage in before.items() if name not in after}
        kept = {stage for name, stage in before.items() if name in after}
        assert gone == {"metrics", "summary_spec", "study_spec"}
        assert not kept & {"metrics", "summary_spec"}, "of every experiment"
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
    package.move("generate", "answering.run")
    package.move("prompting.frame", "prompting.query_and_answer")
    package.move("metrics.sentences", "prompting.whole_sentences")
    package.move("judging.local", "judging.by_probabilities")
    package.move("mistakes.trainset", "learning.making_sets")
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
