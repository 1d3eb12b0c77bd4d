"""A full or read-only disk: reported with its path, nothing half-written, then on."""

import subprocess

import pytest

from alignlab.answering.generate import GenerateJob, Part, generate
from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.engines import fake_engine
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.operations import store_locks
from alignlab.sources.models import FetchModelJob, fetch_model

SPEC = {
    "arm": "zero-shot",
    "model": "tiny",
    "method": {"kind": "zero-shot"},
    "decoding": {"max_new_tokens": 16},
    "engine": {"name": "fake", "dtype": "float32"},
    "digest": "0" * 12,
}


def question(number):
    return {
        **{"prompt_id": f"d/{number}", "dataset": "d", "category": "regular", "source": None},
        **{"turns": [f"What is question number {number} about?"], "tags": []},
        **{"reference": None, "mistake": None, "target": None},
    }


def fill(disk):
    """Leave no block free; gives the file to remove."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return filler


@pytest.fixture
def plan(repository):
    """All of whose artefacts have their digests, which are computed where the catalog is."""
    plan = Plan(load_experiment("smoke"))
    assert all(artefact.digest for artefact in plan)
    return plan


def test_a_table_on_a_full_disk(mounted, metrics):
    path = mounted(1) / "metrics" / "m.parquet"
    with pytest.raises(AlignlabError, match=r"m\.parquet: cannot be written: .*No space left"):
        tables.write("metrics", path, metrics(100_000), {})
    assert not list(path.parent.iterdir())
    tables.write("metrics", path, metrics(1000), {})
    assert tables.read("metrics", path).num_rows == 1000


def test_a_model_on_a_full_disk(mounted, plan):
    disk = mounted(1)
    job = plan.model("tiny-gemma").job(output=str(disk / "models" / "tiny"))
    filler = fill(disk)
    with pytest.raises(AlignlabError, match=r"model tiny-gemma: .*cannot be written: .*No space"):
        fetch_model(FetchModelJob.model_validate_json(job))
    filler.unlink()
    assert not list(disk.glob("models/tiny"))


def test_batches_on_a_full_disk_are_kept_and_the_rest_is_asked_later(
    mounted, tmp_path, plan, monkeypatch
):
    model, prompts = tmp_path / "model", tmp_path / "prompts.parquet"
    job = plan.model("tiny-gemma").job(output=str(model))
    fetch_model(FetchModelJob.model_validate_json(job))
    tables.write("prompts", prompts, [question(number) for number in range(9)], {})
    disk = mounted(1)
    asked = []
    answer = fake_engine.FakeEngine.generate

    def filling(self, requests, *rest):
        """The disk fills up while the engine works."""
        asked.append(len(requests))
        for number, batch in enumerate(answer(self, requests, *rest)):
            if number == 1:
                fill(disk)
            yield batch

    def run(output):
        work = {"part": Part(0, 1), "aside": disk / "aside", "batch_size": 3}
        work["replies"] = disk / "replies.jsonl"
        generate(GenerateJob(spec=SPEC, prompts=[prompts], model=model, output=output, **work))
        return list(tables.rows("responses", output))

    whole = run(tmp_path / "whole.parquet")
    for path in disk.glob("aside/*"):
        path.unlink()
    monkeypatch.setattr(fake_engine.FakeEngine, "generate", filling)
    with pytest.raises(AlignlabError, match=r"cannot be written: .*No space left"):
        run(disk / "out.parquet")
    assert not (disk / "out.parquet").exists()
    (disk / "filler").unlink()
    monkeypatch.setattr(fake_engine.FakeEngine, "generate", answer)
    assert run(disk / "out.parquet") == whole


def test_a_store_that_may_only_be_read(mounted, plan, monkeypatch, metrics):
    disk = mounted(1)
    (disk / "results/store").mkdir(parents=True)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    monkeypatch.chdir(disk)
    with pytest.raises(AlignlabError, match=r"^results/store: cannot be written: Read-only"):
        store_locks.claim(plan, list(plan))
    with pytest.raises(AlignlabError, match=r"m\.parquet: cannot be written: Read-only"):
        tables.write("metrics", "results/store/metrics/m.parquet", metrics(1), {})


def test_a_whole_store_that_may_only_be_read_is_enough(mounted, plan, monkeypatch):
    disk = mounted(1)
    for artefact in plan:
        path = disk / artefact.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    monkeypatch.chdir(disk)
    store_locks.claim(plan, [])
    assert store_locks.live() == []
