import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml

from alignlab.core.errors import AlignlabError
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.operations.environments import VLLM, check_engines, check_folder, python_of

CHILD = """
import json, os, sys
print(json.dumps({"pid": os.getpid(), "read": json.load(sys.stdin), "argv0": sys.orig_argv[0]}))
sys.exit(7)
"""


@pytest.fixture
def planned(repository_root, tmp_path, monkeypatch):
    """Plan the smoke experiment, run by vLLM, with an empty store and no environment of vLLM."""

    def plan(engine):
        experiment = yaml.safe_load((repository_root / "config/experiments/smoke.yaml").read_text())
        arms = [arm for arm in experiment["arms"] if arm["name"] != "chat-sampled"]
        experiment |= {"arms": arms, "engine": {"name": engine, "dtype": "float32"}}
        path = tmp_path / "smoke.yaml"
        path.write_text(yaml.safe_dump(experiment))
        return Plan(load_experiment(str(path)))

    (tmp_path / "config").symlink_to(repository_root / "config")
    monkeypatch.chdir(tmp_path)
    return plan


def test_other_engines_run_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert python_of("transformers") == python_of("fake") == Path(sys.executable)


def test_vllm_runs_in_its_own_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AlignlabError, match="make vllm"):
        python_of("vllm")
    (tmp_path / VLLM).parent.mkdir(parents=True)
    (tmp_path / VLLM).symlink_to(sys.executable)
    # Not resolved: what an environment's Python is depends on the path it is called by.
    assert python_of("vllm") == tmp_path / VLLM


def test_a_plan_that_wants_vllm_is_refused_without_it(planned):
    check_engines(plan := planned("transformers"), plan)
    with pytest.raises(AlignlabError, match=r"zero-shot \(tiny-gemma\).*make vllm"):
        check_engines(plan := planned("vllm"), plan)


def test_the_process_becomes_the_other_interpreter(tmp_path):
    """More text than a pipe holds; the exit status is the child's, and so is the process."""
    (tmp_path / "child.py").write_text(CHILD)
    order = {"text": "é" * 200_000}
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import json, sys\nfrom pathlib import Path\n"
        "from alignlab.operations.environments import hand_over\n"
        f"hand_over(Path(sys.executable), 'child', json.loads({json.dumps(order)!r}))\n"
    )
    run = subprocess.Popen(
        [sys.executable, parent], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    printed = json.loads(run.communicate()[0])
    assert (run.returncode, printed["pid"], printed["read"]) == (7, run.pid, order)


def test_a_python_whose_path_has_a_space_starts_as_snakemake_writes_it(tmp_path):
    """Snakemake's commands hold `sys.executable` without quotes."""
    python = tmp_path / "my own" / "bin" / "python"
    venv.create(python.parents[1], symlinks=True)
    code = (
        "import subprocess, sys\n"
        "from alignlab.operations.environments import find_python_by_name\n"
        "find_python_by_name()\n"
        "show = 'import sys; print(sys.executable)'\n"
        "subprocess.run(f'{sys.executable} -c \"{show}\"', shell=True, check=True)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([python, "-c", code], env=env, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{python}\n", "")


@pytest.mark.parametrize(
    "name", ["a b", "a'b", 'a"b', "a$HOME", "a`b", "a;b&c", "ä(中)", "-a", "{a}"]
)
def test_a_folder_is_taken_if_a_shell_reads_its_path_as_snakemake_writes_it(tmp_path, name):
    check_folder(tmp_path / name)
    assert _as_a_shell_reads(tmp_path / name) == str(tmp_path / name)


@pytest.mark.parametrize("name", ["a'$HOME", "a'`b", "a'b\"c", "a\\b", "a\nb", "a\tb", "a\u00a0b"])
def test_a_folder_is_refused_if_a_shell_reads_another_path(tmp_path, name):
    with pytest.raises(AlignlabError, match="cannot start jobs in a folder"):
        check_folder(tmp_path / name)
    assert _as_a_shell_reads(tmp_path / name) != str(tmp_path / name)


def _as_a_shell_reads(path):
    written = f"printf %s {str(path)!r}"
    return subprocess.run(["sh", "-c", written], capture_output=True, text=True).stdout
