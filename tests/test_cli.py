import subprocess
import sys
from io import BytesIO, TextIOWrapper

import pytest

from alignlab.cli import main
from alignlab.core import tables
from alignlab.planning.artefact import STORE

pytestmark = pytest.mark.usefixtures("repository")


def test_check_prints_plans_with_job_counts(capsys):
    assert main(["check", "smoke"]) == 0
    printed = capsys.readouterr().out
    assert "smoke: The whole workflow on tiny random models" in printed
    assert "responses                5 jobs" in printed
    assert "results/store/responses/chat-sampled-" in printed


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_lacks_a_character_gets_one_like_it(monkeypatch, encoding):
    shown = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(shown, encoding))
    assert main(["check", "smoke"]) == 0
    printed = shown.getvalue().decode(encoding)
    assert f"  {'·' if encoding != 'ascii' else '-'} results/store/responses" in printed


@pytest.mark.parametrize(
    ("output", "status", "message"),
    [(">&-", 0, ""), ("> /dev/full", 1, "alignlab: standard output: No space left on device\n")],
)
def test_a_standard_output_that_takes_nothing_is_no_traceback(output, status, message):
    command = f'"{sys.executable}" -m alignlab.cli gc {output}'
    run = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (status, message)


def test_another_folder_has_nothing_to_check(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 1
    assert f"no config/experiments/*.yaml in {tmp_path}" in capsys.readouterr().err


def test_check_goes_on_after_a_mistake_and_fails(capsys, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: bad\n")
    assert main(["check", str(bad), "smoke"]) == 1
    captured = capsys.readouterr()
    assert "bad.yaml: title: Field required" in captured.err
    assert "smoke" in captured.out


def test_gc_lists_and_deletes_only_what_is_unnamed(capsys, tmp_path, monkeypatch, repository):
    (tmp_path / "config").symlink_to(repository / "config")
    monkeypatch.chdir(tmp_path)
    orphan = STORE / "models" / "old-0123456789ab"
    orphan.mkdir(parents=True)
    (orphan / "model.safetensors").write_bytes(b"x" * 2_000_000)
    assert main(["gc"]) == 0
    assert "2.0 MB  results/store/models/old-0123456789ab" in capsys.readouterr().out
    assert orphan.exists()
    assert main(["gc", "--delete"]) == 0
    assert not orphan.exists()


def test_a_reader_that_has_read_enough_is_no_error():
    command = "import sys; from alignlab.cli import main; sys.exit(main(['check', 'smoke']))"
    check = subprocess.Popen(
        [sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    check.stdout.close()
    assert check.communicate()[1] == b""
    assert check.returncode == 1


def test_a_user_error_is_one_line(capsys):
    assert main(["summary", "nope"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("alignlab: experiment 'nope'")
    assert "Traceback" not in captured.err


def test_a_summary_of_older_results_is_refused(capsys, tmp_path, monkeypatch, repository):
    (tmp_path / "config").symlink_to(repository / "config")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results" / "smoke" / "tables"
    assert main(["summary", "smoke"]) == 1
    assert "run the experiment first" in capsys.readouterr().err
    tables.write("statistics", folder / "statistics.parquet", [], {"digest": "0" * 12})
    assert main(["summary", "smoke"]) == 1
    assert "made before the experiment's last change" in capsys.readouterr().err
