"""Fixtures for every room."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import settings

# Rooms are tested side by side; more threads than cores would only slow both.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Shared machines stall for seconds; a slow example says nothing about the code.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

# Rooms whose files take minutes. They go first: a file is tested by one process, and the last one
# to begin would keep the others waiting.
LONG = ("slurm", "workflow", "faults", "shift", "engines")

REPOSITORY = Path(__file__).parents[1]


def pytest_collection_modifyitems(items):
    def place(item):
        room = item.path.relative_to(REPOSITORY / "tests").parts[0]
        return LONG.index(room) if room in LONG else len(LONG)

    items.sort(key=place)


@pytest.fixture
def repository(monkeypatch):
    """The root of the repository, made the working directory as in a workflow run."""
    monkeypatch.chdir(REPOSITORY)
    return REPOSITORY


@pytest.fixture(scope="session")
def repository_root():
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture
def shared():
    """The published data that is not in this repository."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared: the published data is not on this machine")
    return folder


@pytest.fixture(scope="session")
def real_model():
    """A function from a catalog name to the folder of that model, fetched if the store lacks it."""

    def folder(name):
        from alignlab.experiment.load import load_experiment
        from alignlab.experiment.plan import Plan
        from alignlab.sources.models import FetchModelJob, fetch_model

        with contextlib.chdir(REPOSITORY):
            artefact = Plan(load_experiment("demo")).model(name)
            if not artefact.path.exists():
                fetch_model(FetchModelJob.model_validate_json(artefact.job()))
        return REPOSITORY / artefact.path

    return folder
