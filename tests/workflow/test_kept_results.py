"""What befalls a finished experiment's results, and what one further run makes of it.

Each step of the walk is a real run: whether the files are those of a fresh run, only one can show.
"""

import os
import random
import shutil
import subprocess
import sys

import pytest

from alignlab.core import tables

SMOKE = "config/experiments/smoke.yaml"
SEED, STEPS, BLOWS = 17, 2, 4
SHOWN = {"build_report": 1, "publish_wandb": 1}
MADE_FROM_STATISTICS = {"write_manifest": 1, **SHOWN}


def results(checkout):
    return checkout.folder / "results" / "smoke"


def within(checkout, suffix=""):
    return sorted(p for p in results(checkout).rglob(f"[!.]*{suffix}") if ".made" not in p.parts)


def loses_metadata(checkout, chance):
    shutil.rmtree(checkout.folder / ".snakemake", ignore_errors=True)


def is_copied(checkout, chance):
    """With times of somebody's choice: `cp -p` from a machine whose clock is wrong."""
    for path in [*within(checkout), *(checkout.folder / "results/store").glob("[a-z]*/*")]:
        os.utime(path, (chance.uniform(0, 2e9),) * 2)


def loses_a_file(checkout, chance):
    chance.choice([p for p in within(checkout) if p.is_file()]).unlink()


def loses_a_folder(checkout, chance):
    folders = [path for path in within(checkout) if path.is_dir() and "wandb" not in path.parts]
    shutil.rmtree(chance.choice([results(checkout), *folders]))


def has_two_tables_swapped(checkout, chance):
    found = within(checkout, ".parquet")
    if len(found) > 1:
        swap(*chance.sample(found, 2))


def has_a_line_more(checkout, chance):
    if found := within(checkout, ".csv"):
        path = chance.choice(found)
        path.write_bytes(path.read_bytes() + b"mine,1\n")


BLOWS_TO_RESULTS = (
    *(loses_metadata, is_copied, loses_a_file, loses_a_folder),
    *(has_two_tables_swapped, has_a_line_more),
)


def swap(first, second):
    beside = first.with_name("beside")
    first.rename(beside)
    second.rename(first)
    beside.rename(second)


def another_limit(experiment):
    experiment["arms"][0]["decoding"] = {"max_new_tokens": 5}


def without_an_arm(experiment):
    experiment["arms"] = [a for a in experiment["arms"] if a["name"] != "urial-k1-no-system"]


def another_arm(experiment):
    experiment["arms"].append({**experiment["arms"][0], "name": "again"})


def without_pairs(experiment):
    experiment["pairs"] = []


def another_title(experiment):
    experiment["title"] = "Another title"


CHANGES = (without_pairs, another_limit, without_an_arm, another_arm, another_title)


def files(checkout):
    """Content of all that is made of numbers; pages and the manifest say when they were made."""
    found = {}
    for path in within(checkout):
        if path.is_file() and path.suffix in (".parquet", ".csv", ".svg", ".js"):
            content = path.read_bytes() if path.suffix != ".parquet" else tables.pq.read_table(path)
            found[str(path.relative_to(results(checkout)))] = content
    return found


def is_of_today(checkout):
    """Whether every table says that it is made of the experiment as it is now."""
    command = [sys.executable, "-m", "alignlab.cli", "summary", "smoke"]
    environ = {**os.environ, "PYTHONPATH": str(checkout.folder / "workflow")}
    run = subprocess.run(command, cwd=checkout.folder, env=environ, capture_output=True, text=True)
    return not run.returncode, run.stderr


def test_a_walk_through_changes_and_losses_ends_with_the_files_of_a_fresh_run(checkout):
    chance = random.Random(SEED)
    original, fresh = (checkout.folder / SMOKE).read_text(), files(checkout)
    promised = {str(p.relative_to(results(checkout))) for p in within(checkout) if p.is_file()}
    for step in range(STEPS):
        (checkout.folder / SMOKE).write_text(original)
        told = [chance.choice(BLOWS_TO_RESULTS) for _ in range(BLOWS)]
        change = None if step % 2 else CHANGES[step // 2 % len(CHANGES)]
        if change:
            checkout.edit(SMOKE, change)
        for blow in told:
            if results(checkout).exists():
                blow(checkout, chance)
        what = f"step {step}: {change}, {[blow.__name__ for blow in told]}"
        checkout.snakemake("--config", "experiment=smoke")
        if change:
            assert is_of_today(checkout) == (True, ""), what
            ours = [p for p in within(checkout) if p.is_file() and "wandb" not in p.parts]
            old = [p for p in ours if "shift" in p.name]
            assert bool(old) is (change is not without_pairs), what
        else:
            assert files(checkout) == fresh, what
            left = {str(p.relative_to(results(checkout))) for p in within(checkout) if p.is_file()}
            assert {name for name in promised - left if not name.startswith("wandb/")} == set()
        assert checkout.planned() == {}, what


def lost(folder):
    (folder / "tables/winrates.csv").unlink()
    (folder / "wandb.json").unlink()
    shutil.rmtree(folder / "figures/shift")


def altered(folder):
    swap(folder / "tables/statistics.parquet", folder / "tables/comparisons.parquet")
    (folder / "report/index.html").write_text("old")
    min((folder / "report/shift").glob("*.js")).write_text("old")


@pytest.mark.parametrize(
    ("blow", "again"),
    [
        (lost, {"qualify_judges": 1, "build_shift_page": 1, **SHOWN}),
        (altered, {"summarise_metrics": 1, "build_shift_page": 1, **MADE_FROM_STATISTICS}),
    ],
)
def test_what_is_lost_or_altered_is_made_again_and_no_more(checkout, blow, again):
    shutil.rmtree(checkout.folder / ".snakemake")
    blow(results(checkout))
    assert checkout.planned() == again


def test_nothing_is_made_again_that_a_run_is_not_asked_for(checkout):
    checkout.edit(SMOKE, another_title)
    (results(checkout) / "tables/trainsets.csv").unlink()
    target = "results/smoke/tables/trainsets.parquet"
    assert checkout.planned(targets=[target]) == {"check_trainsets": 1}
    assert checkout.planned(targets=["results/smoke/tables/statistics.csv"]) == {}


def test_results_copied_to_a_fresh_clone_are_of_today_until_something_changes(copied, finished):
    """Neither Snakemake's metadata nor a log came along."""
    clone = copied()
    for part in ("store", "smoke"):
        shutil.copytree(finished.folder / "results" / part, clone.folder / "results" / part)
    made = clone.planned()
    assert set(made) <= {"summarise_metrics", "summarise_shift", "qualify_judges"} | {
        *("check_trainsets", "build_shift_page"),
        *MADE_FROM_STATISTICS,
    }, "the report at most"
    clone.edit(SMOKE, another_limit)
    assert clone.planned()["measure_responses"] == 1
    assert clone.planned()["build_report"] == 1


def test_two_tables_of_the_store_that_were_swapped_are_named_before_any_job(checkout):
    first, second = sorted((checkout.folder / "results/store/responses").glob("*.parquet"))[:2]
    swap(first, second)
    printed = checkout.snakemake("--config", "experiment=smoke", check=False)
    found = [path for path in (first, second) if f"{path.name}: table 'responses' of" in printed]
    assert len(found) == 1, printed
    assert "remove it and run again" in printed
    assert "Traceback" not in printed


def test_a_failed_attempt_at_results_is_not_nothing_to_be_done(checkout):
    """The old tables are deleted before the job that fails; then the change is taken back."""
    original = (checkout.folder / SMOKE).read_text()
    checkout.edit(SMOKE, another_title)
    script = checkout.folder / "workflow/scripts/build_report.py"
    text = script.read_text()
    script.write_text("raise SystemExit(1)\n")
    checkout.snakemake("--config", "experiment=smoke", check=False)
    script.write_text(text)
    (checkout.folder / SMOKE).write_text(original)
    assert checkout.planned() == {"build_shift_page": 1, "write_manifest": 1, **SHOWN}
