"""The lock, the ranges of pyproject and the conda files must say the same."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version


@pytest.fixture
def lock(repository_root):
    text = (repository_root / "envs" / "requirements.lock").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "exact versions only"
    return {
        name.lower().replace("_", "-"): Version(v) for name, v in (s.split("==") for s in lines)
    }


def test_every_dependency_is_locked_within_its_range(repository_root, lock):
    project = tomllib.loads((repository_root / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = project["project"]["dependencies"]
    wanted += project["project"]["optional-dependencies"]["test"]
    for requirement in map(Requirement, wanted):
        assert lock[requirement.name.lower()] in requirement.specifier, requirement


def test_conda_files_install_the_lock(repository_root):
    for path in (repository_root / "envs").glob("*.yaml"):
        packages = yaml.safe_load(path.read_text())["dependencies"][-1]["pip"]
        assert "-r requirements.lock" in packages, path


def test_torch_is_the_version_with_a_cpu_build(lock):
    assert lock["torch"] == Version("2.13.0")
