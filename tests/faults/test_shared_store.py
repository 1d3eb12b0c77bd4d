"""One real run on a store that lies elsewhere, disturbed in every way, until it ends well.

Its store is a link to another file system, which a second checkout uses too. Its experiment is a
user's file that nothing else names. The first attempt at answering is killed for its memory; the
second is held while others try the store; then Snakemake is killed, and inputs get times of the
future.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import yaml
from checkouts import copy_repository

from alignlab.core import tables

MINE = {
    "name": "mine",
    "title": "Mine",
    "prompts": [{"dataset": "smoke-questions", "take": 2}],
    "baseline": "zero-shot",
    "decoding": {"max_new_tokens": 4},
    "engine": {"dtype": "float32"},
    "embedder": None,
    "arms": [{"name": "zero-shot", "model": "tiny-gemma", "method": {"kind": "zero-shot"}}],
}
GOALS = ["--cores", "2", "--config", "experiment=mine.yaml", "--until", "gather_responses"]
MEMORY = [
    "--retries",
    "1",
    "--set-resources",
    "generate_responses:mem_mb=30 * 700 ** (attempt - 1)",
]
BEGINS = "with job(snakemake, GenerateJob, timed=RESPONSES) as given:\n"
HELD = f"""{BEGINS}    import os, time
    if snakemake.resources.mem_mb < 10_000:
        time.sleep(2)
        os.kill(os.getpid(), 9)
    Path("held").touch()
    while Path("hold").exists():
        time.sleep(0.1)
"""


def started(folder, *command):
    environ = os.environ | {"PYTHONPATH": str(folder / "workflow"), "OMP_NUM_THREADS": "1"}
    return psutil.Popen(
        [sys.executable, "-m", *command],
        **{"cwd": folder, "env": environ, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT},
        text=True,
    )


def ended(folder, *command):
    """Run a command to its end; gives the status and what it printed."""
    run = started(folder, *command)
    printed, _ = run.communicate(timeout=120)
    return SimpleNamespace(status=run.returncode, printed=printed)


def snakemake(folder, *arguments):
    return ended(folder, "snakemake", *GOALS, *arguments)


@pytest.fixture(scope="module")
def checkouts(tmp_path_factory):
    """Two checkouts with one store, on a file system in memory where there is one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as store:
        folders = []
        for name in ("one", "two"):
            folder = copy_repository(tmp_path_factory.mktemp(name))
            (folder / "mine.yaml").write_text(yaml.safe_dump(MINE))
            (folder / "results").mkdir()
            (folder / "results/store").symlink_to(store)
            folders.append(folder)
        script = folders[0] / "workflow/scripts/generate_responses.py"
        text = script.read_text()
        assert BEGINS in text
        script.write_text(text.replace(BEGINS, HELD))
        yield folders


@pytest.fixture(scope="module")
def story(checkouts):
    """All that happens, in its order; tests read what came of it."""
    one, two = checkouts
    store = one / "results/store"
    (one / "hold").touch()
    run = started(one, "snakemake", *GOALS, *MEMORY)
    deadline = time.monotonic() + 120
    while not (one / "held").exists() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    orphan = store / "prompts" / "orphan-0123456789ab.parquet"
    orphan.touch()
    before = sorted(store.glob("[a-z]*/*"))
    refused = snakemake(two)
    collected = ended(one, "alignlab.cli", "gc", "--delete")
    after = sorted(store.glob("[a-z]*/*"))
    tree = run.children(recursive=True)
    run.kill()
    _, outlived = psutil.wait_procs(tree, timeout=10)
    killed = run.communicate()[0]
    for path in store.rglob("*"):
        os.utime(path, (4e9, 4e9))
    (one / "hold").unlink()
    locked = snakemake(one)
    snakemake(one, "--unlock")
    return SimpleNamespace(
        **{"store": store, "orphan": orphan, "before": before, "after": after},
        **{"refused": refused, "collected": collected, "outlived": outlived, "killed": killed},
        **{"locked": locked, "again": snakemake(one, *MEMORY), "other": snakemake(two, "-n")},
        collected_later=ended(two, "alignlab.cli", "gc"),
    )


def test_a_job_killed_for_memory_says_so_and_is_tried_with_more(story):
    assert "and asked for 30 (mem_mb): if it is killed, that is why" in story.killed
    assert "SIGKILL" in story.killed
    assert "Trying to restart job" in story.killed


def test_a_second_run_that_would_make_the_same_is_refused_before_any_job(story):
    assert story.refused.status == 1
    assert "experiment mine, running in " in story.refused.printed
    assert "makes it too; start again when that run has ended" in story.refused.printed
    assert "Traceback" not in story.refused.printed
    assert "localrule" not in story.refused.printed


def test_gc_leaves_alone_what_a_run_needs(story):
    assert story.collected.status == 0, story.collected.printed
    assert "mine (running)" in story.collected.printed
    assert {path.parent.name for path in story.after} >= {"models", "prompts"}
    assert set(story.before) - set(story.after) == {story.orphan}


def test_jobs_end_with_a_killed_snakemake(story):
    assert not story.outlived


def test_a_run_after_a_kill_ends_well_whatever_the_times_of_files(story):
    assert "--unlock" in story.locked.printed
    assert story.again.status == 0, story.again.printed
    (responses,) = story.store.glob("responses/*.parquet")
    assert tables.read("responses", responses).num_rows == 3
    assert not list(story.store.glob("aside/*"))


def test_another_checkout_then_uses_what_is_there(story):
    assert story.other.status == 0
    assert re.search(r"^total +0$", story.other.printed, re.MULTILINE)


def test_gc_in_another_checkout_keeps_what_a_run_made_that_ended(story):
    printed = story.collected_later.printed
    assert "running" not in printed
    assert "results/mine)" in printed
    assert "results/store/responses/zero-shot-" not in printed
