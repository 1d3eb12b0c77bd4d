"""What lies under an experiment's name, compared with what its jobs left and were asked for."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignlab.operations import current

HOME = Path("results/mine")
RULES = {
    "summarise": ["tables/statistics.parquet", "tables/statistics.csv"],
    "draw": ["report/index.html", "figures/arms"],
}
ASKED = {"spec": '{"digest": "0123456789ab"}', "job": "where files lie"}
FILES = [*RULES["summarise"], "report/index.html", "figures/arms/a.svg", "figures/arms/b.svg"]


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Results of two rules, each file with a content of its own."""
    monkeypatch.chdir(tmp_path)
    return make


def make():
    shutil.rmtree("results", ignore_errors=True)
    for name in FILES:
        (HOME / name).parent.mkdir(parents=True, exist_ok=True)
        (HOME / name).write_text(name)
    for rule in RULES:
        note(rule)


def note(rule, outputs=None, asked=ASKED):
    current.note(rule, [str(HOME / name) for name in outputs or RULES[rule]], asked)


def todays(asked=ASKED):
    return {rule for rule in RULES if current.is_current(HOME, rule, asked)}


def rule_of(name):
    return next(r for r, outputs in RULES.items() if any(name.startswith(o) for o in outputs))


def removed(name, other):
    (HOME / name).unlink()
    return {rule_of(name)}


def swapped(name, other):
    first, second = HOME / name, HOME / other
    kept, times = first.read_bytes(), [path.stat().st_mtime_ns for path in (first, second)]
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    for path, time in zip((first, second), times, strict=True):
        os.utime(path, ns=(time, time))
    return set() if name == other else {rule_of(name), rule_of(other)}


def edited(name, other):
    (HOME / name).write_text((HOME / name).read_text() + " ")
    return {rule_of(name)}


def copied(name, other):
    """As `cp -r` without its `-p` does, and as a clock that is wrong."""
    for path in HOME.rglob("*"):
        os.utime(path, (len(name), len(other) * 1e8))
    return set()


def without_folder(name, other):
    shutil.rmtree((HOME / name).parent)
    return {rule_of(found) for found in FILES if not (HOME / found).exists()}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([removed, swapped, edited, copied, without_folder]),
    st.sampled_from(FILES),
    st.sampled_from(FILES),
)
def test_whatever_happens_to_a_file_its_rule_and_no_other_is_outdated(made, change, name, other):
    made()
    assert todays() == set(RULES)
    hit = change(name, other)
    assert todays() == set(RULES) - hit


@pytest.mark.parametrize(
    ("asked", "same"),
    [
        ({**ASKED, "spec": '{"digest": "ba9876543210"}'}, False),
        ({**ASKED, "settings": {"mode": "online"}}, False),
        ({**ASKED, "job": "the same in another folder"}, True),
    ],
)
def test_what_was_asked_counts_and_where_its_files_lie_does_not(made, asked, same):
    made()
    assert (todays(asked) == set(RULES)) is same
    assert bool(todays(asked)) is same


@pytest.mark.parametrize("record", ["", "{", '{"asked": 1}'])
def test_a_record_that_says_nothing_is_none(made, record):
    made()
    (HOME / ".made" / "draw.json").write_text(record)
    assert todays() == {"summarise"}
    note("draw")
    assert todays() == set(RULES)


def test_what_a_rule_no_longer_makes_goes_with_its_next_job(made):
    made()
    note("summarise", ["tables/statistics.parquet"])
    assert not (HOME / "tables/statistics.csv").exists()
    assert todays() == set(RULES)


def test_what_no_rule_makes_any_more_goes_and_what_others_put_there_stays(made):
    made()
    (HOME / "figures/arms/mine.svg").write_text("mine")
    current.forget(HOME, {"summarise"})
    left = {str(path.relative_to(HOME)) for path in HOME.rglob("*") if path.is_file()}
    assert left == {*RULES["summarise"], "figures/arms/mine.svg", ".made/summarise.json"}


def test_a_record_reaches_no_further_than_its_experiment(made):
    made()
    Path("results/other.txt").write_text("somebody's")
    record = current.Record(asked="x", files={"../other.txt": "x"})
    (HOME / ".made/old.json").write_text(record.model_dump_json())
    current.forget(HOME, set(RULES))
    assert Path("results/other.txt").exists()


def test_nothing_is_noted_of_the_store(made, tmp_path):
    for output in ("results/store/metrics/a-0123456789ab.parquet", "elsewhere/table.parquet"):
        current.note("measure_responses", [output], ASKED)
    assert not list(tmp_path.iterdir())
