"""Fixtures for every room."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Rooms are tested side by side; more threads than cores would only slow both.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Shared machines stall for seconds; a slow example says nothing about the code.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

REPOSITORY = Path(__file__).parents[1]


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
