"""The worked examples of CONTRIBUTING.md: how many files each takes, and that it works."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from checkouts import ROOT, copy_repository

LIMITS = {
    "prompting method": 2,
    "metric": 2,
    "judge kind": 3,
    "dataset source": 2,
    "trainer": 3,
    "recipe": 2,
    "stage": 4,
}
"""What is added → files of the package, its rules and scripts that it may take."""
NUMBER = re.compile(r"\*\*(\d) files")
BLOCK = re.compile(
    r"^(?:`(?P<file>[^`]+)`, (?P<where>new|at the end|after|before|in place of)"
    r"(?: `(?P<line>[^`]+)`)?:\n\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SMOKE = "config/experiments/smoke.yaml"
PACKAGE = "workflow/alignlab"


class Block(NamedTuple):
    """A block of an example: into which file it goes, and where."""

    file: str
    where: str
    line: str
    text: str

    @property
    def path(self):
        """From the root of the repository."""
        top = {"rules": "workflow/", "scripts": "workflow/", "config": ""}
        return top.get(self.file.partition("/")[0], f"{PACKAGE}/") + self.file


def sections(text):
    """What is added → the text of its section."""
    found = re.split(r"^## Add an? (.+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def blocks(section):
    """The blocks of a section that go into files, and those that an experiment says."""
    found = list(BLOCK.finditer(section))
    placed = [Block(*m.group("file", "where", "line", "text")) for m in found if m["file"]]
    said = [yaml.safe_load(m["text"]) for m in found if not m["file"]]
    return placed, said


def apply(block, root):
    """Change a file as a block says."""
    path = root / block.path
    if block.where == "new":
        assert not path.exists(), block.file
        path.write_text(block.text, encoding="utf-8")
        return
    before = path.read_text(encoding="utf-8")
    if block.where == "at the end":
        path.write_text(before + block.text, encoding="utf-8")
        return
    lines = before.splitlines(keepends=True)
    places = [at for at, line in enumerate(lines) if line.strip().startswith(block.line)]
    assert len(places) == 1, f"{block.file}: {len(places)} lines begin with {block.line}"
    start = places[0] + (block.where == "after")
    end = start + (block.where == "in place of")
    path.write_text("".join([*lines[:start], block.text, *lines[end:]]), encoding="utf-8")


def say(more, root):
    """Add to the lists of the smoke experiment."""
    path = root / SMOKE
    experiment = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, entries in more.items():
        there = experiment.setdefault(key, [])
        there += [entry for entry in entries if entry not in there]
    path.write_text(yaml.safe_dump(experiment, sort_keys=False), encoding="utf-8")


def run(root, *command):
    environment = {**os.environ, "PYTHONPATH": str(root / "workflow"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def examples():
    """What is added → its section, with blocks that go into files and what experiments say."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return {name: (section, *blocks(section)) for name, section in sections(text).items()}


@pytest.fixture(scope="module")
def changed(examples, tmp_path_factory):
    """A copy of the repository to which all examples are applied."""
    root = copy_repository(tmp_path_factory.mktemp("contributed"))
    for _, placed, said in examples.values():
        for block in placed:
            apply(block, root)
        for more in said:
            say(more, root)
    run(root, "-m", "ruff", "format", "--quiet", "workflow/alignlab", "workflow/scripts")
    return root


@pytest.fixture(scope="module")
def made(changed):
    """What came of each example."""
    run(changed, str(Path(__file__).with_name("contributed.py")))
    return json.loads((changed / "contributed.json").read_text(encoding="utf-8"))


def test_there_is_an_example_of_everything(examples):
    assert list(examples) == list(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
def test_files_that_an_example_takes(examples, name):
    section, placed, _ = examples[name]
    files = {block.path for block in placed if block.path.startswith("workflow/")}
    assert int(NUMBER.search(section)[1]) == len(files) <= LIMITS[name]


def test_examples_keep_to_the_style(changed):
    run(changed, "-m", "ruff", "check", "workflow")


def test_every_experiment_is_still_valid(made):
    assert made["check"] == 0


def test_the_method_renders_prompts(made):
    head = "### Instruction:\nHi?\n\n### Response:\nYes.\n\n"
    asked = "### Instruction:\nAnd?\n\n### Response:\n"
    assert made["prompting method"] == [head + asked, "### Instruction:"]


def test_the_metric_has_a_value_for_every_answer(made):
    assert made["metric"] == pytest.approx([4 / 18] * len(made["metric"]))
    assert made["metric"]


def test_the_recipe_builds_a_training_set(made):
    assert made["recipe"]
    for markers, completion in made["recipe"]:
        assert markers == ["A harmful response:", "A harmless response:"]
        assert len(completion) == 2


def test_the_source_brings_rows_in(made):
    assert made["dataset source"] == [["Why is the sky blue?"], ["How long does an egg boil?"]]


def test_the_judge_scores_every_answer(made):
    assert {tuple(scored) for scored in made["judge kind"]} == {("scored", 1.0)}


def test_the_trainer_takes_steps(made):
    assert made["trainer"]
    assert all(loss > 0 for loss in made["trainer"])


def test_the_stage_is_planned_and_a_rule_makes_it(made, changed):
    path, counts = made["stage"]
    assert counts["why"] == counts["egg"] == 1
    shutil.rmtree(changed / path)
    options = ("--dry-run", "--quiet", "rules", "--cores", "1", "--config", "experiment=smoke")
    printed = run(changed, "-m", "snakemake", *options, "--", path)
    assert re.search(r"^count_words +1$", printed, re.MULTILINE)
