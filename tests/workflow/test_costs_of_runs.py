"""What Snakemake says of costs, and what it refuses, in a fresh copy of the repository."""

import json

import pytest

SMOKE = ("--config", "experiment=smoke")


@pytest.fixture(scope="module")
def fresh(copied):
    return copied()


def test_a_dry_run_ends_with_what_the_run_would_cost(fresh):
    printed = fresh.snakemake("--dry-run", *SMOKE)
    _, last = printed.split("This was a dry-run")
    assert "to be made" in last
    assert "GPU hours" in last
    some = fresh.snakemake("--dry-run", "--until", "fetch_model", *SMOKE)
    costs = some.split("to be made")[1].splitlines()
    assert [line.split()[0] for line in costs[1:3]] == ["models", "all"]


def test_a_run_that_the_disk_cannot_hold_is_refused_before_its_first_job(fresh):
    huge = fresh.folder / "config/catalog/models.yaml"
    kept = huge.read_text()
    fresh.edit(
        "config/catalog/models.yaml",
        lambda models: models["tiny-gemma"].update(parameters=10**15),
    )
    try:
        printed = fresh.snakemake(*SMOKE, check=False)
        assert "the run needs up to 4,320,000.0 GB" in printed
        assert "GB are free; most is for models" in printed
        assert not (fresh.folder / "results/store").exists()
        fresh.snakemake("--dry-run", *SMOKE)
    finally:
        huge.write_text(kept)


def test_finished_jobs_say_how_fast_models_run(finished):
    lines = (finished.folder / "results/throughput.jsonl").read_text().splitlines()
    noted = [json.loads(line) for line in lines]
    assert {line["table"] for line in noted} >= {"token_shift", "training"}
    assert all(line["units"] > 0 and line["seconds"] > 0 and line["device"] for line in noted)
    assert "to be made" not in finished.snakemake("--dry-run", *SMOKE)
