import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.planning import digest
from alignlab.planning.digest import code_digest, config_digest, file_digest

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


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `alignlab` of three modules, `a` importing `b`."""
    folder = tmp_path / "alignlab"
    folder.mkdir()
    (folder / "a.py").write_text(
        '"""Doc."""\nfrom alignlab.b import f\n\n\ndef g():\n    return f()\n'
    )
    (folder / "b.py").write_text("def f():\n    return 1\n")
    (folder / "c.py").write_text("x = 1\n")
    monkeypatch.setattr(digest, "PACKAGE", folder)

    def digest_of_a():
        code_digest.cache_clear()
        return code_digest("alignlab.a")

    yield folder, digest_of_a
    code_digest.cache_clear()


@pytest.mark.parametrize(
    ("file", "text", "same"),
    [
        (
            "a.py",
            '"""New doc."""\nfrom alignlab.b import f\n\n# why\ndef g():\n    return  f()\n',
            True,
        ),
        ("a.py", "from alignlab.b import f\n\n\ndef g():\n    return f() + 1\n", False),
        ("b.py", 'def f():\n    """Docstring."""\n    return 1  # comment\n', True),
        ("b.py", "def f():\n    return 2\n", False),
        ("b.py", "def f():\n    return '1'\n", False),
        ("b.py", "from alignlab.core.errors import AlignlabError\ndef f():\n    return 1\n", True),
        ("c.py", "x = 2\n", True),
    ],
)
def test_code_counts_and_comments_do_not(package, file, text, same):
    folder, digest_of_a = package
    before = digest_of_a()
    (folder / file).write_text(text)
    assert (digest_of_a() == before) == same


def test_a_function_that_is_only_a_docstring_is_still_digested(package):
    folder, digest_of_a = package
    (folder / "b.py").write_text('def f():\n    """Only this."""\n')
    assert digest_of_a()


def test_engines_do_not_count_for_each_other():
    assert code_digest(
        "alignlab.answering.generate", "alignlab.engines.fake_engine"
    ) != code_digest("alignlab.answering.generate", "alignlab.engines.transformers_engine")


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_digest_is_the_same_in_every_python(version, tmp_path):
    """A store made under one Python must be valid under another."""
    source = Path(digest.__file__).read_text(encoding="utf-8")
    (tmp_path / "d.py").write_text(source)
    probe = f"import d, pathlib; d.PACKAGE = pathlib.Path({str(digest.PACKAGE)!r}); "
    # What one Python remembers would answer for the other.
    probe += "d.REMEMBERED = pathlib.Path('/proc/none'); "
    probe += "print(d.code_digest('alignlab.answering.generate'))"
    run = [f"python{version}", "-c", probe]
    try:
        done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"no Python {version} here")
    here = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == here.stdout


def test_file_digest_of_a_folder_covers_names_and_content(tmp_path):
    (tmp_path / "a").write_text("1")
    before = file_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = file_digest(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({before, renamed, file_digest(tmp_path)}) == 3


def test_what_is_remembered_is_what_is_computed(package, tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "REMEMBERED", tmp_path / "memory")
    folder, digest_of_a = package

    def in_a_new_process():
        digest._module.cache_clear()
        return digest_of_a()

    first = in_a_new_process()
    memories = list((tmp_path / "memory").iterdir())
    assert len(memories) == 2
    kept = [memory.read_text() for memory in memories]
    for memory in memories:
        memory.write_text('["another", []]')
    assert in_a_new_process() != first
    for memory in memories:
        memory.write_text("[")  # as a full disk leaves it
    assert in_a_new_process() == first
    assert [memory.read_text() for memory in memories] == kept
    (folder / "b.py").write_text("def f():\n    return 2\n")
    assert in_a_new_process() != first


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
