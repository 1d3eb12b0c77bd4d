import pytest

from alignlab.core.errors import AlignlabError
from alignlab.planning.fingerprint import Code
from alignlab.planning.versions import (
    Recorded,
    Unit,
    Versions,
    check_units,
    lock_text,
    parse_lock,
    read_lock,
)

GOOD = "metrics  2  0123456789ab  aaaaaaaaaaaa\nengine fake  1  ba9876543210  ba9876543210\n"


def test_a_lock_is_read_as_it_was_written():
    recorded = {
        "metrics": Recorded(12, "0123456789ab", "aaaaaaaaaaaa"),
        "engine fake": Recorded(1, "ba9876543210", "ba9876543210"),
    }
    text = lock_text(recorded)
    assert parse_lock(text, "lock") == recorded
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [
        "engine fake    1  ba9876543210  ba9876543210",
        "metrics       12  0123456789ab  aaaaaaaaaaaa",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            GOOD + "metrics 1 0123456789ab 0123456789ab",
            "lock: line 3: unit 'metrics' is there twice",
        ),
        (
            "a 0 0123456789ab 0123456789ab",
            "version of 'a': expected a positive whole number, not '0'",
        ),
        ("a 1.5 0123456789ab 0123456789ab", "expected a positive whole number, not '1.5'"),
        (
            "a 1 0123456789a 0123456789ab",
            "fingerprint of 'a': expected 12 hex digits, not '0123456789a'",
        ),
        ("a 1 0123456789ab 0123456789ag", "expected 12 hex digits"),
        ("a 1 0123456789ab", "line 1: expected unit, version, 2 fingerprints, not 'a 1 "),
    ],
)
def test_a_bad_line_is_named(text, message):
    with pytest.raises(AlignlabError, match=message):
        parse_lock(text, "lock")


@pytest.mark.parametrize(
    ("units", "message"),
    [
        (["metrics"], "no such unit: engine fake; run `make stages`"),
        (["metrics", "engine fake", "new", "other"], "no line for new, other; run `make stages`"),
    ],
)
def test_a_lock_of_other_units_is_refused(tmp_path, units, message):
    with pytest.raises(AlignlabError, match=message):
        check_units(parse_lock(GOOD, "lock"), units, tmp_path)


def test_a_missing_lock_is_refused(tmp_path):
    with pytest.raises(AlignlabError, match=r"stages\.lock: no such file; `make stages` writes it"):
        read_lock(tmp_path / "stages.lock")


def test_code_that_is_as_recorded_has_its_version_and_other_code_its_fingerprint(tmp_path):
    folder = tmp_path / "pkg"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.py").write_text(f"x = '{name}'\n")
    found = {name: Code(folder).fingerprint(f"pkg.{name}") for name in "abc"}
    assert len(set(found.values())) == 3
    recorded = {name: Recorded(3, found["a"], "0123456789ab") for name in ("one", "two")}
    versions = Versions(recorded, Code(folder))
    page = Unit("page", "pkg.c", versioned=False)
    units = [Unit("one", "pkg.a"), Unit("two", "pkg.b"), page]
    assert versions.code_of(*units) == {
        "one": "3-0123456789ab",
        "two": found["b"],
        "page": found["c"],
    }
    assert versions.behind(units) == ["two"]
    with pytest.raises(AlignlabError, match="no line for three; run `make stages`"):
        versions.code_of(Unit("three", "pkg.a"))


def test_two_drafts_of_a_version_have_two_names(tmp_path):
    folder = tmp_path / "pkg"
    folder.mkdir()
    (folder / "a.py").write_text("x = 1\n")
    now = Code(folder).fingerprint("pkg.a")
    drafts = [Versions({"one": Recorded(2, now, f"{n:012}")}, Code(folder)) for n in (1, 2)]
    found = [draft.code_of(Unit("one", "pkg.a"))["one"] for draft in drafts]
    assert found == ["2-000000000001", "2-000000000002"]
