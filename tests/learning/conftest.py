"""Writes small tables."""

import pytest
from small_tables import EXAMPLES, PROMPT, RESPONSE

from alignlab.core import tables


@pytest.fixture
def write(tmp_path):
    """Write rows as a table, with what each row leaves out filled in; returns the path."""
    kinds = {"prompts": PROMPT, "responses": RESPONSE, "mistakes": {}, "trainset": {}}

    def written(kind, rows, name=None):
        path = tmp_path / f"{name or kind}.parquet"
        spec = {"digest": "0", "method": {"kind": "icl", "examples": EXAMPLES}}
        tables.write(kind, path, [kinds[kind] | row for row in rows], spec)
        return path

    return written
