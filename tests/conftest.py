"""Fixtures for every room."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def repository(monkeypatch):
    """The root of the repository, made the working directory as in a workflow run."""
    monkeypatch.chdir(REPOSITORY)
    return REPOSITORY


@pytest.fixture
def shared():
    """The published data that is not in this repository."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared: the published data is not on this machine")
    return folder
