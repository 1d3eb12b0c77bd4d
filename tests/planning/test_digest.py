import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.planning import digest
from alignlab.planning.digest import config_digest, file_digest

QUICK = settings(max_examples=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@QUICK
@given(st.dictionaries(st.text(), values))
def test_key_order_never_matters(config):
    assert config_digest(config) == config_digest(dict(reversed(config.items())))


@QUICK
@given(st.dictionaries(st.text(), values), st.text(), st.integers())
def test_a_changed_value_matters_at_any_depth(config, key, value):
    nested = [{**config, key: {"inner": [number]}} for number in (value, value + 1)]
    assert config_digest(nested[0]) != config_digest(nested[1])


def test_file_digest_of_a_folder_covers_names_and_content(tmp_path):
    (tmp_path / "a").write_text("1")
    before = file_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = file_digest(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({before, renamed, file_digest(tmp_path)}) == 3


@pytest.mark.parametrize(
    "name",
    [
        ".gitattributes",
        ".git/objects/ab/cd",
        ".cache/huggingface/download/model.safetensors.metadata",
        "1_Pooling/.cache/config.json",
        "README.md",
        "LICENSE",
        "license.txt",
        "NOTICE",
    ],
)
def test_what_a_download_leaves_beside_the_content_does_not_count(tmp_path, name):
    (tmp_path / "license_plates.json").write_text("{}")
    before = file_digest(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("1")
    assert file_digest(tmp_path) == before
    (tmp_path / "license_plates.json").unlink()
    assert file_digest(tmp_path) != before


def test_a_folder_inside_a_hidden_one_counts_all_the_same(tmp_path):
    folder = tmp_path / ".cache" / "model"
    folder.mkdir(parents=True)
    empty = file_digest(folder)
    (folder / "config.json").write_text("{}")
    assert file_digest(folder) != empty


def test_a_large_file_that_changes_has_another_digest(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "REMEMBERED", tmp_path / "memory")
    monkeypatch.setattr(digest, "LARGE", 0)
    file = tmp_path / "weights"
    file.write_text("1")
    first = file_digest(file)
    (memory,) = (tmp_path / "memory").iterdir()
    memory.write_text('"remembered"')
    assert file_digest(file) == "remembered"
    file.write_text("22")
    assert file_digest(file) not in (first, "remembered")
