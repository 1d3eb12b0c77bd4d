"""What a job does when its memory, its clock or its Snakemake fails it."""

import os
import signal
import time

import psutil
import pytest


def test_memory_that_is_refused_is_told(started, tmp_path):
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))\n"
    run = started(limit + "bytes(2**33)")
    assert "out of memory: the job asked for 20 MB" in run.communicate(timeout=60)[1]
    assert run.returncode == 1
    assert "--set-resources tune_model:mem_mb=" in (tmp_path / "job.log").read_text()


def test_a_gpu_that_is_full_is_no_matter_of_host_memory(started, tmp_path):
    run = started("raise RuntimeError('CUDA out of memory. Tried to allocate 2.00 GiB')")
    assert "the GPU is out of memory: lower `runtime.batch_size`" in run.communicate(timeout=60)[1]
    assert "the job asked for" not in (tmp_path / "job.log").read_text()


def test_a_log_holds_any_script_whatever_the_locale(started, tmp_path, monkeypatch):
    for name, value in (("LC_ALL", "C"), ("PYTHONUTF8", "0"), ("PYTHONCOERCECLOCALE", "0")):
        monkeypatch.setenv(name, value)
    run = started("import logging\nlogging.info('\\u4e2d %s', chr(0xd800))")
    assert "Traceback" not in run.communicate(timeout=60)[1]
    assert "INFO 中 \\ud800" in (tmp_path / "job.log").read_text(encoding="utf-8")


def test_a_job_above_its_memory_says_so_before_it_is_killed(started, tmp_path):
    body = "used = b'x' * 2**26\ntime.sleep(2.5)\nimport os\nos.kill(os.getpid(), 9)"
    run = started(body)
    printed = run.communicate(timeout=60)[1]
    assert run.returncode == 128 + signal.SIGKILL
    assert "and asked for 20 (mem_mb): if it is killed, that is why" in printed
    assert "that is why" in (tmp_path / "job.log").read_text()


@pytest.mark.parametrize("verified", [True, False])
def test_inputs_from_the_future_come_to_be_of_today(started, tmp_path, verified):
    table, model = tmp_path / "m.parquet", tmp_path / "model"
    model.mkdir()
    for path in (table, model / ".snakemake_timestamp"):
        path.touch()
        os.utime(path, (4e9, 4e9))
    old = tmp_path / "old.parquet"
    old.touch()
    os.utime(old, (1e9, 1e9))
    run = started("pass", table, model, old, tmp_path / "absent", verified=verified)
    run.communicate(timeout=60)
    assert run.returncode == 0
    assert table.stat().st_mtime <= time.time()
    assert (model / ".snakemake_timestamp").stat().st_mtime <= time.time()
    assert old.stat().st_mtime == 1e9


def test_a_job_whose_snakemake_is_gone_before_it_begins_ends(started):
    run = started("time.sleep(60)", through=())
    assert "Snakemake was killed" in run.communicate(timeout=60)[1]
    assert run.returncode == -signal.SIGKILL


def test_a_job_ends_with_its_snakemake(started, tmp_path):
    """The shell below Snakemake and the job below the shell stay, as after `kill -9`."""
    main = tmp_path / "snakemake"
    main.write_text('#!/bin/bash\nbash -c \'"$@"; true\' - "$@"; true\n')
    main.chmod(0o755)
    run = started("Path('began').touch()\ntime.sleep(60)", through=(main,))
    while not (tmp_path / "began").exists():
        time.sleep(0.1)
    below = run.children(recursive=True)
    assert len(below) == 2
    run.kill()
    _, alive = psutil.wait_procs(below, timeout=10)
    assert not alive


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (("metrics", "0123456789ab"), ""),
        (("responses", "0123456789ab"), "this is 'metrics' of digest 0123456789ab; remove it"),
        (("metrics", "ba9876543210"), "table 'metrics' of digest ba9876543210 is wanted"),
    ],
)
def test_a_table_given_for_another_is_refused_by_what_it_says_of_itself(
    started, table, wanted, message
):
    run = started("pass", table, made_of=[(str(table), *wanted)])
    printed = run.communicate(timeout=60)[1]
    assert run.returncode == bool(message)
    assert message in printed
    assert "Traceback" not in printed


def test_a_rule_that_does_not_await_what_its_job_reads_is_an_error_of_ours(started, table):
    run = started("pass", made_of=[(str(table), "metrics", "0123456789ab")])
    printed = run.communicate(timeout=60)[1]
    assert run.returncode == 1
    assert f"does not await {table}" in printed
    assert "please report it" in printed
