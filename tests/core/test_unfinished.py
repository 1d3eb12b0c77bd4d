"""Rows that a killed job had finished are found again, unless their file is damaged."""

import pytest

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.unfinished import Unfinished, forget

SPEC = {"arm": "a", "digest": "0" * 12}


def metric(number, value=0.5):
    return {"arm": "a", "prompt_id": f"d/{number}", "turn": 0, "metric": "m", "value": value}


@pytest.fixture
def folder(tmp_path):
    """Where one job put two batches aside before it was killed."""
    job = Unfinished("metrics", SPEC, tmp_path / "aside")
    job.put_aside([metric(0), metric(1)])
    job.put_aside([metric(2)])
    return tmp_path / "aside"


def test_only_the_rows_of_the_prompts_that_are_due_come_back(folder):
    job = Unfinished("metrics", SPEC, folder)
    assert job.earlier(["d/3"]) == []
    assert not job.resumed
    assert sorted(row["prompt_id"] for row in job.earlier(["d/2", "d/1", "d/9"])) == ["d/1", "d/2"]
    assert job.resumed


def test_nothing_is_there_before_anything_was_put_aside(tmp_path):
    job = Unfinished("metrics", SPEC, tmp_path / "aside")
    job.put_aside([])
    assert job.earlier(["d/0"]) == []
    assert not (tmp_path / "aside").exists()


def test_a_table_says_whether_all_rows_are_of_one_job(folder, tmp_path):
    job = Unfinished("metrics", SPEC, folder)
    for name, prompts in (("fresh", ["d/9"]), ("resumed", ["d/0"])):
        with tables.writing("metrics", tmp_path / name, SPEC) as writer:
            writer.write(job.earlier(prompts))
            job.note(writer)
    notes = [
        tables.opened("metrics", tmp_path / name).metadata.metadata for name in ("fresh", "resumed")
    ]
    assert [b"alignlab.resumed" in note for note in notes] == [False, True]


@pytest.mark.parametrize("place", [10, 100, -10])
def test_a_damaged_file_is_reported_and_not_used(folder, place):
    damaged = min(folder.glob("*.parquet"))
    written = bytearray(damaged.read_bytes())
    written[place] ^= 255
    damaged.write_bytes(written)
    with pytest.raises(AlignlabError, match=f"{damaged.name}: damaged or truncated"):
        Unfinished("metrics", SPEC, folder)


def test_a_file_that_is_being_written_is_left_alone(folder):
    (folder / ".x.parquet.1.tmp").write_bytes(b"PAR1")
    (folder / ".x.parquet").write_bytes(b"PAR1")
    assert len(Unfinished("metrics", SPEC, folder).earlier(["d/0", "d/1", "d/2"])) == 3


def test_what_was_put_aside_is_forgotten_with_the_folder(folder):
    forget(folder)
    forget(folder)
    assert Unfinished("metrics", SPEC, folder).earlier(["d/0"]) == []
