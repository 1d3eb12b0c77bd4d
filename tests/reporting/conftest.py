"""One synthetic experiment with its page, shared by every test of the room."""

import pytest
from synthetic import make_study

from alignlab.reporting.report import build_report


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """The full synthetic experiment, with its page and figures built."""
    made = make_study(tmp_path_factory.mktemp("study"))
    build_report(**made.arguments)
    return made
