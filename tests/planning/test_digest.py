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
