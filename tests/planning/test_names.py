"""Names of artefacts when code is moved, renamed or edited: planned by copies of this package."""

import json
import subprocess
import sys

import pytest
from checkouts import copy_repository

from alignlab.experiment.units import UNITS
from alignlab.planning.versions import read_lock

LIST = """
import json
from alignlab.experiment.load import load_experiment, shipped
from alignlab.experiment.plan import Plan
from alignlab.experiment import outputs, outputs_judging
found = {}
for path in shipped():
    plan = Plan(load_experiment(str(path)))
    found |= {str(a.path): a.stage for a in plan}
    made = (outputs.summary_spec, outputs.study_spec, outputs.shift_spec, outputs.trainsets_spec,
            outputs_judging.judges_spec)
    found |= {f"{path.stem} {make(plan)['digest']}": make.__name__ for make in made}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A copy of the repository, and the names of everything that it plans."""
    folder = copy_repository(tmp_path_factory.mktemp("names"))
    return folder, _names(folder)


def _names(folder):
    run = subprocess.run(
        [sys.executable, "-c", LIST],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "workflow"), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert not run.returncode, run.stderr
    return json.loads(run.stdout)


@pytest.fixture
def package(before, tmp_path):
    """A copy of the package that is free to be changed."""
    return Package(copy_repository(tmp_path))


class Package:
    def __init__(self, folder):
        self.folder, self.package = folder, folder / "workflow/alignlab"

    def edit(self, name, old, new):
        path = self.package / name
        text = path.read_text()
        assert old in text, name
        path.write_text(text.replace(old, new))

    def move(self, old, new):
        """Move a module, and whatever says its name."""
        for path in (self.folder / "workflow").rglob("*.py"):
            text = path.read_text().replace(f"alignlab.{old}", f"alignlab.{new}")
            room, _, name = old.rpartition(".")
            there, _, other = new.rpartition(".")
            text = text.replace(
                f"from alignlab.{room} import {name}\n", f"from alignlab.{there} import {other}\n"
            )
            path.write_text(text)
        target = self.package / f"{new.replace('.', '/')}.py"
        target.parent.mkdir(exist_ok=True)
        (self.package / f"{old.replace('.', '/')}.py").rename(target)

    def names(self):
        return _names(self.folder)


def _stages(names, others):
    return {stage for name, stage in names.items() if name not in others}


def test_moves_and_other_names_of_modules_and_functions_rename_nothing(before, package):
    package.move("generate", "answering.run")
    package.move("prompting.frame", "prompting.query_and_answer")
    package.move("metrics.style", "metrics.looks")
    package.move("statistics.paired", "statistics.pairs_of_answers")
    package.move("judging.local", "judging.by_probabilities")
    package.move("mistakes.trainset", "learning.set")
    package.edit("engines/respondent.py", "LocalRespondent", "LoadedModel")
    package.edit("answering/run.py", "LocalRespondent", "LoadedModel")
    assert package.names() == before[1]


def test_an_edit_renames_the_stages_behind_it_and_none_beside(before, package):
    package.edit("metrics/measure.py", "from __future__ import annotations\n", "x = 1\n")
    found = package.names()
    assert _stages(found, before[1]) == {"metrics", "summary_spec", "study_spec"}
    # Every metrics table has another name, and the statistics of every experiment.
    kept = {name for name, stage in before[1].items() if name in found and stage == "metrics"}
    assert not kept


def test_a_raised_version_renames_the_same_stages(before, package):
    lock = package.folder / "workflow/stages.lock"
    known = read_lock(lock)["metrics"].fingerprint
    line = next(line for line in lock.read_text().splitlines() if known in line)
    lock.write_text(lock.read_text().replace(line, f"metrics 2 {known}"))
    stages = {"metrics", "summary_spec", "study_spec"}
    assert _stages(package.names(), before[1]) == stages


def test_the_code_is_as_recorded_or_edited_since():
    """Every unit has a line, whatever `make lint` says of its fingerprint."""
    from alignlab.experiment.units import LOCK

    assert read_lock(LOCK).keys() == UNITS.keys()
