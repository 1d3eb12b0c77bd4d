import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.core import schemas, tables
from alignlab.core.errors import AlignlabError

METRIC = {"arm": "a", "prompt_id": "d/1", "turn": 0, "metric": "words", "value": 1.5}
metric_rows = st.lists(
    st.fixed_dictionaries(
        {
            "arm": st.text(),
            "prompt_id": st.text(),
            "turn": st.integers(0, 9),
            "metric": st.text(),
            "value": st.none() | st.floats(allow_nan=False),
        }
    )
)


@given(metric_rows)
def test_what_is_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "m.parquet"
    tables.write("metrics", path, rows, {"digest": "abc"})
    assert list(tables.rows("metrics", path)) == rows
    assert tables.spec_of(path) == {"digest": "abc"}


def test_every_column_is_described():
    for name in schemas.COLUMNS:
        assert all(field.metadata[b"description"] for field in tables.schema(name))


def test_a_wrong_key_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="extra"):
        tables.write("metrics", tmp_path / "m.parquet", [{**METRIC, "extra": 1}], {})
    assert not list(tmp_path.iterdir())


def test_a_table_of_before_a_column_was_added_has_nulls_in_it(tmp_path, monkeypatch):
    """Two rows in an older file, and one that a newer writer leaves the column out of."""
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    tables.write("metrics", old, [METRIC] * 2, {})
    added = {**schemas.COLUMNS["metrics"], "more": (schemas.TEXT, "Added")}
    monkeypatch.setitem(schemas.COLUMNS, "metrics", added)
    with pytest.raises(AlignlabError, match="column 'more' of table 'metrics' is missing"):
        tables.read("metrics", old)
    monkeypatch.setitem(schemas.ADDED, "metrics", frozenset({"more"}))
    tables.write("metrics", new, [METRIC, METRIC | {"more": "x"}], {})
    assert list(tables.rows("metrics", old)) == [METRIC | {"more": None}] * 2
    assert tables.read("metrics", old).schema == tables.read("metrics", new).schema
    assert tables.read("metrics", new)["more"].to_pylist() == [None, "x"]


def test_an_interrupted_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "m.parquet"
    tables.write("metrics", path, [METRIC], {})

    def failing():
        yield METRIC
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tables.write("metrics", path, failing(), {})
    assert list(tables.rows("metrics", path)) == [METRIC]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("keep", [0, 10, -10])
def test_a_truncated_file_is_named(tmp_path, keep):
    path = tmp_path / "m.parquet"
    tables.write("metrics", path, [METRIC] * 100, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(AlignlabError, match=r"m.parquet: damaged or truncated"):
        tables.read("metrics", path)


def test_another_table_is_not_taken_for_this_one(tmp_path):
    path = tmp_path / "m.parquet"
    tables.write("metrics", path, [METRIC], {})
    with pytest.raises(AlignlabError, match="column 'model' of table 'responses' is missing"):
        tables.read("responses", path)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    """The temporary file is a link to a device that refuses every write with ENOSPC."""
    path = tmp_path / "m.parquet"
    message = "m.parquet: cannot be written: No space left on device"
    with pytest.raises(AlignlabError, match=message):
        _write_to_a_full_disk(path)
    assert not list(tmp_path.iterdir())


def _write_to_a_full_disk(path):
    with tables.replacing(path) as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_text("x")


@pytest.mark.parametrize("error", [OSError("no tokenizer"), OSError(errno.ENOENT, "absent")])
def test_an_error_that_is_not_about_writing_passes(tmp_path, error):
    with pytest.raises(OSError, match=str(error.args[-1])) as caught:
        _fail_inside(tmp_path / "m.parquet", error)
    assert caught.value is error
    assert not list(tmp_path.iterdir())


def _fail_inside(path, error):
    with tables.replacing(path) as temporary:
        temporary.write_text("half")
        raise error


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AlignlabError, match=r"m.parquet: cannot be written: File exists"):
        tables.write("metrics", tmp_path / "file" / "m.parquet", [METRIC], {})


def test_what_a_killed_process_of_the_same_number_left_is_not_built_in(tmp_path):
    left = tmp_path / f".model.{os.getpid()}.tmp"
    left.mkdir()
    (left / "model-00009-of-00009.safetensors").write_text("old")
    with tables.building(tmp_path / "model") as folder:
        (folder / "model.safetensors").write_text("new")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "model.safetensors",
        "SHA256SUMS",
    }
