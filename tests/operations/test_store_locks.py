"""What `alignlab gc` keeps and removes, where several checkouts use one store."""

import contextlib
import json
import multiprocessing
import random
import shutil
import time
from pathlib import Path

import pytest
import yaml

from alignlab import cli
from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.operations import store_locks
from alignlab.planning.artefact import STORE

SEED, ROUNDS, CHECKOUTS = 17, 10, ("one", "two")
MINE = {
    "title": "Of one user",
    "prompts": [{"dataset": "smoke-questions", "take": 2}],
    "baseline": "mine",
    "engine": {"name": "fake", "dtype": "float32"},
    "embedder": None,
}
TOLD = {"source": {"kind": "api", "model": "x", "base_url": "http://localhost:1/v1", "key": None}}


@pytest.fixture
def checkouts(tmp_path, repository):
    """Two folders with the repository's configuration and one store."""
    (tmp_path / "store").mkdir()
    for name in CHECKOUTS:
        folder = tmp_path / name
        (folder / "results").mkdir(parents=True)
        (folder / "results/store").symlink_to(tmp_path / "store")
        (folder / "config").mkdir()
        for part in (repository / "config").iterdir():
            (folder / "config" / part.name).symlink_to(part)
    return tmp_path


def plan_of(name, seed, model="tiny-base"):
    """An experiment of its own arm; another seed is another state of it."""
    arm = {"name": "mine", "model": model, "method": {"kind": "zero-shot"}, "decoding": {}}
    arm["decoding"] = {"max_new_tokens": seed}
    path = Path(f"{name}.yaml")
    path.write_text(yaml.safe_dump({**MINE, "name": name, "arms": [arm]}))
    return Plan(load_experiment(str(path)))


def files(plan):
    return [artefact.path for artefact in plan]


def fill(plan):
    """What its jobs make, as far as `gc` looks at it."""
    for path in files(plan):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def finish(plan):
    """As `write_manifest` does."""
    listed = {"artefacts": [{"path": str(path)} for path in files(plan)]}
    (plan.folder / "manifest.json").write_text(json.dumps(listed))
    store_locks.finished(plan)


def ended(folder, name, seed, done=True):
    """A whole run, in a process of its own, which ends with it."""

    def run():
        with contextlib.chdir(folder):
            plan = plan_of(name, seed)
            store_locks.claim(plan, list(plan))
            fill(plan)
            if done:
                finish(plan)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert not process.exitcode
    with contextlib.chdir(folder):
        return files(plan_of(name, seed))


def gc(folder, *more):
    with contextlib.chdir(folder):
        return cli.main(["gc", "--delete", *more])


@pytest.mark.parametrize("done", [True, False])
def test_gc_keeps_what_another_checkout_has_begun_or_finished(checkouts, done):
    made = ended(checkouts / "one", "mine", 3, done)
    assert gc(checkouts / "two") == 0
    with contextlib.chdir(checkouts / "one"):
        assert all(path.exists() for path in made)


def test_gc_removes_what_an_experiment_needed_before_it_was_changed(checkouts, capsys):
    old = ended(checkouts / "one", "mine", 3)
    half = ended(checkouts / "one", "mine", 4, done=False)
    assert gc(checkouts / "two") == 0
    assert all((checkouts / "one" / path).exists() for path in [*old, *half])
    new = ended(checkouts / "one", "mine", 5)
    assert gc(checkouts / "two") == 0
    assert all((checkouts / "one" / path).exists() for path in new)
    gone = set(old) - set(new)
    assert gone
    assert not any((checkouts / "one" / path).exists() for path in {*gone, *half} - set(new))
    assert f"mine (of {checkouts}/one/results/mine)" in capsys.readouterr().out


def test_an_experiment_is_given_up_by_removing_its_results(checkouts):
    made = ended(checkouts / "one", "mine", 3, done=False)
    (checkouts / "one/results/mine").rmdir()
    assert gc(checkouts / "two") == 0
    assert not any((checkouts / "one" / path).exists() for path in made)
    assert not list((checkouts / "store/.running").glob("*.json"))


def test_a_checkout_that_cannot_be_seen_from_here_has_given_up_nothing(checkouts):
    made = ended(checkouts / "one", "mine", 3)
    (checkouts / "one").rename(checkouts / "on another machine")
    assert gc(checkouts / "two") == 0
    assert all((checkouts / "two" / path).exists() for path in made)


def test_replies_that_were_paid_for_are_kept_for_another_checkout(checkouts):
    with contextlib.chdir(checkouts / "one"):
        catalog = Path("config/catalog")
        shipped, models = catalog.resolve(), catalog / "models.yaml"
        catalog.unlink()
        shutil.copytree(shipped, catalog)
        entries = yaml.safe_load(models.read_text())
        entries["gpt"] = {**TOLD, "role": "aligned", "license": "terms"}
        models.write_text(yaml.safe_dump(entries))
        path = Path("paid.yaml")
        arm = {"name": "mine", "model": "gpt", "method": {"kind": "chat"}}
        path.write_text(yaml.safe_dump({**MINE, "name": "paid", "arms": [arm]}))
        plan = Plan(load_experiment("paid.yaml"))
        store_locks.claim(plan, list(plan))
        replies = plan.responses["mine"].replies
        replies.parent.mkdir()
        replies.touch()
        orphan = replies.with_name("responses.nobody.jsonl")
        orphan.touch()
    while store_locks._held:
        store_locks._held.pop().close()  # the run has ended
    assert gc(checkouts / "two") == 0
    assert (checkouts / "one" / replies).exists()
    assert not (checkouts / "one" / orphan).exists()


@pytest.mark.parametrize(
    "typed", [["--keep", "a.yaml", "--keep", "b.yaml"], ["--keep", "a.yaml", "b.yaml"]]
)
def test_every_experiment_that_is_to_be_kept_is(checkouts, typed):
    with contextlib.chdir(checkouts / "one"):
        plans = [plan_of("a", 3), plan_of("b", 4)]
        for plan in plans:
            fill(plan)
        named = [path for plan in plans for path in files(plan)]
    assert gc(checkouts / "one", *typed) == 0
    assert all((checkouts / "one" / path).exists() for path in named)


def test_gc_removes_a_link_and_not_what_it_leads_to_and_goes_on(checkouts, tmp_path, capsys):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "weights").write_bytes(b"x" * 3_000_000)
    models = checkouts / "store/models"
    models.mkdir()
    (models / "a-0123456789ab").symlink_to(elsewhere)
    (models / "b-0123456789ab").symlink_to(tmp_path / "nowhere")
    (models / "c-0123456789ab").mkdir()
    assert gc(checkouts / "one") == 0
    assert not list(models.iterdir())
    assert (elsewhere / "weights").exists()
    assert "3 entries, 0.0 MB removed" in capsys.readouterr().out


def test_a_damaged_note_of_a_run_is_named_before_anything_is_removed(checkouts):
    made = ended(checkouts / "one", "mine", 3)
    (record,) = (checkouts / "store/.running").glob("*.json")
    record.write_text("{")
    assert gc(checkouts / "two") == 1
    assert all((checkouts / "one" / path).exists() for path in made)
    with contextlib.chdir(checkouts / "one"), pytest.raises(AlignlabError, match="mine needs; run"):
        store_locks.live()


def _at_work(folder, name, seed, chance):
    """Runs of one experiment: what each finds when it plans is there until it has ended."""
    with contextlib.chdir(folder):
        for number in range(ROUNDS // 2):
            time.sleep(chance.random() / 5)
            store_locks.hold()
            plan = plan_of(name, 3 + seed + number % 2)
            found = [path for path in files(plan) if path.exists()]
            time.sleep(chance.random() / 20)
            with contextlib.suppress(AlignlabError):  # the other makes the model
                store_locks.claim(plan, [a for a in plan if a.path not in found])
                assert all(path.exists() for path in found), f"{name} {number}: planned with it"
                fill(plan)
                time.sleep(chance.random() / 5)
                assert all(path.exists() for path in files(plan)), f"{name} {number}: running"
                finish(plan)
            while store_locks._held:
                store_locks._held.pop().close()
            while store_locks._starting:
                store_locks._starting.pop().close()


def test_gc_at_any_moment_takes_nothing_from_anybody(checkouts):
    chance = random.Random(SEED)
    fork = multiprocessing.get_context("fork")
    runs = [
        fork.Process(
            target=_at_work,
            args=(checkouts / CHECKOUTS[n % 2], f"mine{n}", 10 * n, random.Random(chance.random())),
        )
        for n in range(4)
    ]
    for run in runs:
        run.start()
    rounds = 0
    while rounds < ROUNDS or any(run.is_alive() for run in runs):
        assert gc(checkouts / CHECKOUTS[rounds % 2]) == 0
        rounds += 1
    for run in runs:
        run.join()
        assert not run.exitcode
    for n in range(4):
        with contextlib.chdir(checkouts / CHECKOUTS[n % 2]):
            manifest = json.loads(Path(f"results/mine{n}/manifest.json").read_text())
            assert all(Path(each["path"]).exists() for each in manifest["artefacts"])


def test_what_results_were_made_from_and_is_gone_is_said(checkouts, capsys):
    with contextlib.chdir(checkouts / "one"):
        made = ended(Path.cwd(), "mine", 3)
        for prompts in STORE.glob("prompts/*.parquet"):  # the plan counts their rows
            tables.write("prompts", prompts, [], {})
        (answers,) = STORE.glob("responses/*.parquet")
        assert cli.main(["check", "mine.yaml"]) == 0
        assert "is gone" not in capsys.readouterr().out
        answers.unlink()
        assert cli.main(["check", "mine.yaml"]) == 0
        printed = capsys.readouterr().out
    assert answers in made
    assert f"! {answers} is gone, from which results/mine was made" in printed
    assert f"`snakemake --cores 1 --config experiment=mine.yaml -- {answers}`" in printed
