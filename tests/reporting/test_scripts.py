"""The scripts of a page are joined into one, so names are looked up in the whole of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from alignlab import reporting
from alignlab.reporting import report
from alignlab.reporting.shift import page as shift_page

ASSETS = Path(reporting.__file__).parent / "assets"
OXLINT = Path(sys.executable).parent / "oxlint"
PAGES = {"report": report.SCRIPTS, "shift": shift_page.SCRIPTS}
# What a page does not use itself.
SPARE = {
    "report": set(),
    "shift": {"receive"},  # called by data files
}


@pytest.mark.parametrize("page", PAGES)
def test_no_name_is_undefined_redefined_or_unused(page, repository_root, tmp_path):
    joined = tmp_path / f"{page}.js"
    joined.write_text("\n".join(map(_text, PAGES[page])), encoding="utf-8")
    rules = [f"--deny={rule}" for rule in ("no-undef", "no-redeclare", "no-unused-vars")]
    config = f"--config={repository_root / '.oxlintrc.json'}"
    command = [OXLINT, config, *rules, "--format=unix", joined]
    found = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    problems = [line for line in found if line.startswith(str(joined))]
    unused = {re.search(r"'(\w+)' is declared but never used", line) for line in problems} - {None}
    assert {match[1] for match in unused} == SPARE[page]
    assert len(problems) == len(unused), "\n".join(problems)


def test_every_script_is_on_a_page():
    shown = {ASSETS / name for names in PAGES.values() for name in names}
    assert set(ASSETS.rglob("*.js")) == shown


def _text(name):
    return (ASSETS / name).read_text(encoding="utf-8")
