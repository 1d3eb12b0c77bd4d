"""One store of two users of a group, whose masks take the right to write from it."""

import multiprocessing
import os
import tempfile
from pathlib import Path

import pytest

from alignlab.answering.stages import RESPONSES
from alignlab.core import tables
from alignlab.endpoints.replies import Budget, Replies, Tokens
from alignlab.operations import store_locks, throughput

GROUP, ANN, BEN = 61000, 61001, 61002
NOTED = Path("results/throughput.jsonl")
LEDGER = Path("results/store/replies/responses.gpt.jsonl")
TABLE = Path("results/store/responses/a-0123456789ab.parquet")
MODEL = Path("results/store/models/m-0123456789ab")
SPEC = {"model": "m", "engine": {"name": "fake", "dtype": "float32"}}


@pytest.fixture
def shared_folder():
    """A folder of the group, where everybody can come; pytest's own are root's alone."""
    if os.geteuid():
        pytest.skip("only root can be another user")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        store = folder / "results" / "store"
        store.mkdir(parents=True)
        for each in (store.parent, store):
            os.chown(each, ANN, GROUP)
            each.chmod(0o2775)
        yield folder


@pytest.fixture
def as_user(shared_folder):
    """Do something as one of the two, in that folder; a fork, since Python may be root's alone."""
    tables.versions()  # reads the packages, which may be too

    def run(user, does, mask=0o022):
        def done():
            os.chdir(shared_folder)
            os.umask(mask)
            os.setgroups([GROUP])
            os.setgid(user)
            os.setuid(user)
            does(user)

        process = multiprocessing.get_context("fork").Process(target=done)
        process.start()
        process.join()
        assert process.exitcode == 0

    return run


def work(user):
    """What runs do in a store: look, ask, answer, note, fetch."""
    with store_locks.none_starting():
        pass
    replies = Replies(LEDGER, Budget(None, None))
    with replies.opened():
        replies.ask(str(user), Tokens(1, 1))
    row = {
        **dict.fromkeys(("arm", "model", "prompt_id", "raw_text", "text"), "x"),
        **dict.fromkeys(("turn", "sample", "num_words"), 0),
        **{"prompt_ids": [1], "token_ids": [1], "num_tokens": 1},
        **{"finish_reason": "stop", "trimmed": None, "seed": None},
    }
    tables.write("responses", TABLE, [row], SPEC)
    throughput.note(RESPONSES, TABLE, 1.0, NOTED)
    with tables.building(MODEL) as folder:
        (folder / "reward").mkdir()
        (folder / "reward" / "weights").write_text(str(user))


def clean(user):
    for path in (MODEL, TABLE):
        store_locks.remove(path)


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_what_one_member_made_another_goes_on_with(as_user, shared_folder, mask):
    for user in (ANN, BEN, ANN):
        as_user(user, work, mask)
    ledger = (shared_folder / LEDGER).read_text()
    assert (ledger.count(str(ANN)), ledger.count(str(BEN))) == (2, 1)
    assert len((shared_folder / NOTED).read_text().splitlines()) == 3
    assert (shared_folder / MODEL / "reward/weights").read_text() == str(ANN)
    as_user(BEN, clean, mask)


def test_a_group_gets_no_right_that_its_folder_does_not_give_it(as_user, shared_folder):
    for folder in (shared_folder / "results", shared_folder / "results/store"):
        folder.chmod(0o2755)
    as_user(ANN, work)
    for path in (shared_folder / "results").rglob("*"):
        assert not path.stat().st_mode & 0o020, path


def test_another_group_gets_no_right(as_user, shared_folder):
    """Without the bit that hands the folder's group on, files have the group of their maker."""
    for folder in (shared_folder / "results", shared_folder / "results/store"):
        folder.chmod(0o0775)
    as_user(ANN, work)
    for path in (shared_folder / "results/store").rglob("*"):
        assert not path.stat().st_mode & 0o020, path
