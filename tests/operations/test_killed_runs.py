"""What becomes of Slurm jobs whose run was killed; with real ones in tests/slurm."""

import os
from pathlib import Path

import pytest

from alignlab.core.errors import AlignlabError
from alignlab.operations.slurm import killed_runs, retries
from alignlab.operations.slurm.killed_runs import BETWEEN, check_none, comment_of, settle

KEY = "zero-shot-0123456789ab"
DUE = [("generate_responses", [KEY, "0", "1"]), ("qualify_judges", [])]
ANSWER, TABLE = (comment_of(*each) for each in DUE)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Say which jobs there are; `scancel` ends those that it is given. Gives the cancelled ones."""
    here, other = tmp_path / "my checkout", tmp_path / "other"
    for folder in (here, other):
        (folder / "results").mkdir(parents=True)
        (folder / "results/store").symlink_to(tmp_path / "store")
    (tmp_path / "store").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(killed_runs, "adopted", {})
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    queue, cancelled = tmp_path / "queue", tmp_path / "cancelled"
    cancelled.touch()
    script(tmp_path / "squeue", f"cat '{queue}'")
    script(
        tmp_path / "scancel",
        f"for n; do echo $n >> '{cancelled}'; sed -i \"/^$n{BETWEEN}/d\" '{queue}'; done",
    )

    def jobs(*listed):
        rows = [BETWEEN.join((n, "run", comment, f"{tmp_path}/{at}")) for n, comment, at in listed]
        queue.write_text("".join(f"{row}\n" for row in rows))
        return lambda: cancelled.read_text().split()

    return jobs


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_jobs_from_here_are_gone_on_with_and_tables_without_a_digest_made_again(slurm):
    cancelled = slurm(
        ("7", ANSWER, "my checkout"),
        ("8", TABLE, "my checkout"),
        ("9", "rule_generate_responses_wildcards_other-ba9876543210_0_1", "my checkout"),
        ("10", ANSWER, "elsewhere"),
        ("11", "somebody's", "my checkout"),
    )
    settle(DUE, "adopt")
    assert {c: job.number for c, job in killed_runs.adopted.items()} == {ANSWER: "7"}
    assert cancelled() == ["8"]


def test_jobs_from_here_are_ended_if_the_user_says_so(slurm):
    cancelled = slurm(("7", ANSWER, "my checkout"), ("10", ANSWER, "elsewhere"))
    settle(DUE, "cancel")
    assert not killed_runs.adopted
    assert cancelled() == ["7"]


@pytest.mark.parametrize("choice", ["adopt", "cancel"])
def test_a_job_of_another_checkout_on_the_same_store_ends_the_run(slurm, choice):
    cancelled = slurm(("7", ANSWER, "other"))
    with pytest.raises(AlignlabError, match=r"Slurm job 7, of a run in .*other.*scancel 7"):
        settle(DUE, choice)
    settle([("generate_responses", ["another-0123456789ab", "0", "1"])], choice)
    assert not cancelled()


def test_a_run_on_this_machine_is_refused_while_such_a_job_goes_on(slurm):
    slurm(("7", ANSWER, "my checkout"))
    with pytest.raises(AlignlabError, match="Slurm job 7"):
        check_none(DUE)
    slurm(("7", "rule_generate_responses_wildcards_other-ba9876543210_0_1", "my checkout"))
    check_none(DUE)


def test_a_slurm_that_does_not_answer_ends_a_run_on_slurm_alone(slurm, tmp_path):
    script(tmp_path / "squeue", "exit 1")
    with pytest.raises(AlignlabError, match="squeue does not answer"):
        settle(DUE, "adopt")
    check_none(DUE)


def test_a_choice_that_is_none_is_named():
    with pytest.raises(AlignlabError, match="killed_run: expected adopt or cancel, not True"):
        killed_runs.choice_of(True)
    assert killed_runs.choice_of("cancel") == "cancel"


def test_a_retry_asks_for_more_of_what_it_lacked_in_the_job_too(monkeypatch):
    monkeypatch.setattr(retries, "_asked", {})
    name = retries.name_of("generate_responses", [KEY, "0", "1"])
    assert retries.asked(name, "mem_mb", 6000) == 6000
    retries.ask(name, "mem_mb", 12000)
    assert retries.asked(name, "mem_mb", 6000) == 12000
    assert retries.asked(name, "runtime", 240) == 240
    assert retries.asked("another", "mem_mb", 6000) == 6000
    assert retries.told(name) == f'{{"{name}": {{"mem_mb": 12000}}}}'
    assert retries.told("another") == "{}"
