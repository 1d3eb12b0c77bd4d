"""Figures that a short calculation by hand gives too."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from alignlab.answering.stages import RESPONSES
from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.operations.cost_table import check_disk, costs_of, table, uncounted
from alignlab.operations.throughput import note, rates
from alignlab.planning.forecast import QUESTION, Cost, ModelSize, Rate, Speeds, Task
from alignlab.prompting.prompt_files import constant_tokens
from alignlab.sources.stages import answers_of

SMOKE = Path("config/experiments/smoke.yaml")
pytestmark = pytest.mark.usefixtures("repository")


@pytest.fixture
def plan(tmp_path, repository, monkeypatch):
    """Plan the smoke experiment, changed, over an empty store."""

    def planned(change=lambda experiment: None, catalog=lambda models: None):
        shutil.copytree(repository / "config", tmp_path / "config", dirs_exist_ok=True)
        monkeypatch.chdir(tmp_path)
        experiment = yaml.safe_load(SMOKE.read_text())
        change(experiment)
        Path("smoke.yaml").write_text(yaml.safe_dump(experiment))
        models = Path("config/catalog/models.yaml")
        entries = yaml.safe_load(models.read_text())
        catalog(entries)
        models.write_text(yaml.safe_dump(entries))
        return Plan(load_experiment("smoke.yaml"))

    return planned


def prompts(plan, rows):
    """Write the smoke experiment's first prompts table, with turns of so many characters."""
    given = {"dataset": "d", "source": None, "tags": [], "reference": None, "mistake": None}
    tables.write(
        "prompts",
        plan.prompts[0].path,
        [
            {
                **given,
                "target": None,
                "prompt_id": f"p{i}",
                "category": "regular",
                "turns": ["x" * n for n in turns],
            }
            for i, turns in enumerate(rows)
        ],
        {},
    )


def test_a_fetched_table_is_counted_and_another_is_taken_from_the_selection(plan):
    found = plan()
    assert [len(table.questions()) for table in found.prompts] == [4, 2]
    assert {q.turns for q in found.prompts[1].questions()} == {(QUESTION,)}
    prompts(found, [(40,), (80, 8)])
    assert [q.turns for q in found.prompts[0].questions()] == [(40,), (80, 8)]


def test_the_catalogs_rows_keep_their_categories(plan):
    found = plan(lambda experiment: experiment.update(prompts=[{"dataset": "just-eval-instruct"}]))
    kinds = [question.category for question in found.prompts[0].questions()]
    assert (kinds.count("regular"), kinds.count("safety")) == (800, 200)
    some = [{"dataset": "just-eval-instruct", "take": 100}]
    found = plan(lambda experiment: experiment.update(prompts=some))
    kinds = [question.category for question in found.prompts[0].questions()]
    assert (kinds.count("regular"), kinds.count("safety")) == (80, 20)


def test_a_dataset_of_unknown_size_is_named(plan):
    unknown = [{"dataset": "smoke-questions"}, {"dataset": "smoke-forbidden", "take": 2}]
    found = plan(lambda experiment: experiment.update(prompts=unknown))
    assert "smoke-questions" in uncounted(found)
    assert "smoke-forbidden" not in uncounted(found)
    assert "Not counted before they are fetched: " in table(found, costs_of(found))


def test_tokens_of_an_arm_are_those_of_its_text_its_questions_and_their_answers(plan):
    found = plan()
    prompts(found, [(40,), (80, 8)])
    arm = found.responses["urial-k1-no-system"]
    example, limit = arm.slice["method"]["examples"][0], arm.slice["decoding"]["max_new_tokens"]
    constant = (len(example["query"]) + len(example["answer"])) // 4
    assert constant_tokens(arm.slice["method"]) == constant
    # Two forbidden questions of 100 tokens are not fetched; the last turn repeats the first one.
    sent = (10 + 20 + (20 + limit + 2)) + 2 * (QUESTION // 4) + 5 * constant
    cost = arm.cost(Speeds(32))
    assert (cost.read, cost.written) == (sent, 5 * limit)
    sampled = found.responses["chat-sampled"].cost(Speeds(32))
    assert sampled.written == 2 * 5 * 12


def test_a_model_behind_an_endpoint_costs_dollars_and_no_gpu(plan):
    api = {
        "kind": "api",
        "model": "m",
        "price": {"prompt": 2.0, "completion": 8.0},
    }

    def remote(models):
        models["tiny-aligned"] = {"source": api, "role": "aligned", "license": "none"}

    found = plan(lambda e: e["arms"][4]["decoding"].pop("repetition_penalty"), remote)
    cost = found.responses["chat-sampled"].cost(Speeds(32))
    assert cost.usd == pytest.approx((cost.read * 2 + cost.written * 8) / 1e6)
    assert not cost.gpu_seconds


def test_past_jobs_say_how_fast_the_next_is(plan):
    found = plan()
    arm = found.responses["zero-shot"]
    task = Task("responses", "tiny-gemma", "transformers", "float32")
    cost = arm.cost(Speeds(32, {task: Rate(8.0, "a GPU")}))
    assert cost.gpu_seconds == pytest.approx(cost.written / 8)
    assert cost.basis == "a GPU"
    assert arm.cost(Speeds(32)).basis == "guess"


def test_gpu_seconds_count_every_gpu_that_a_model_is_spread_over(plan):
    found = plan(catalog=lambda models: models["tiny-gemma"].update(gpus=4))
    task = Task("responses", "tiny-gemma", "transformers", "float32")
    cost = found.responses["zero-shot"].cost(Speeds(32, {task: Rate(8.0, "a GPU")}))
    assert cost.gpu_seconds == pytest.approx(4 * cost.written / 8)


def test_the_guess_is_the_roofline_of_a_7b_model():
    """7e9 weights in bfloat16: 14 ms a step at 1e12 bytes/s, shared by a batch of 10."""
    size, speeds = ModelSize(7 * 10**9, 0), Speeds(batch_size=10)
    assert speeds.roofline(size, "bfloat16", read=0, written=1000) == pytest.approx(14 / 10)
    assert speeds.roofline(size, "bfloat16", read=1000) == pytest.approx(1.4e13 / 1.56e14)
    cached = ModelSize(7 * 10**9, 250_000)
    guessed = speeds.roofline(cached, "bfloat16", read=0, written=1000, context=1000)
    assert guessed == pytest.approx(1.4 + 1000 * 0.0005)


@pytest.fixture
def answered(plan):
    """An arm, and its table of two answers."""
    found = plan()
    arm = found.responses["zero-shot"]
    row = {
        **dict.fromkeys(("arm", "model", "prompt_id", "raw_text", "text"), "x"),
        **dict.fromkeys(("turn", "sample", "num_words"), 0),
        **{"prompt_ids": [1], "token_ids": [1] * 6, "finish_reason": "stop", "trimmed": None},
        **{"num_tokens": 6, "seed": None},
    }
    tables.write("responses", arm.path, [row, row], arm.signed_spec)
    return arm


def test_what_a_job_notes_is_what_the_next_preview_reads(answered, tmp_path):
    noted = tmp_path / "throughput.jsonl"
    for seconds in (3.0, 4.0, 60.0):
        note(RESPONSES, answered.path, seconds, noted)
    with noted.open("a") as lines:
        lines.write('{"table": "responses", "mod')  # a crash in the middle of a line
    ((task, rate),) = rates(noted).items()
    assert task == Task("responses", "tiny-gemma", "transformers", "float32")
    assert rate.units == 3.0
    assert answers_of(answered) == (2, 12)


def test_a_note_that_cannot_be_written_fails_no_job(answered, tmp_path, caplog):
    noted = tmp_path / "throughput.jsonl"
    noted.mkdir()  # root may write any file
    note(RESPONSES, answered.path, 3.0, noted)
    assert f"{noted}: forecasts will not know of this job: " in caplog.text
    assert rates(noted) == {}


SPOILED = [
    b"\xff\xfe",
    b'{"table": "\xc3\x28"}',
    b"[" * 100_000,
    b"[]",
    b'"units"',
    *(
        json.dumps({**Task("responses", "m", "vllm", "float32")._asdict(), **line}).encode()
        for line in (
            {"units": 0, "seconds": 1, "device": "none was made"},
            {"units": 10**400, "seconds": 1, "device": "too many"},
            {"units": "1", "seconds": 1, "device": "a word"},
            {"units": 1, "seconds": 1, "device": ["a list"]},
            {"units": 1, "seconds": 1, "device": "d", "model": {}},
        )
    ),
]


@pytest.mark.parametrize("spoiled", SPOILED, ids=lambda line: line[:9].hex())
def test_a_spoiled_line_costs_itself_and_no_plan(answered, plan, tmp_path, spoiled):
    noted = tmp_path / "results" / "throughput.jsonl"
    note(RESPONSES, answered.path, 3.0, noted)
    good = rates(noted)
    noted.write_bytes(spoiled + b"\n" + noted.read_bytes() + spoiled + b"\n")
    assert rates(noted) == good
    found = plan()
    assert table(found, costs_of(found))


def test_only_the_device_of_the_last_job_counts(tmp_path):
    noted = tmp_path / "throughput.jsonl"
    task = Task("responses", "m", "vllm", "bfloat16")._asdict()
    lines = [("old", 1), ("new", 10), ("new", 30)]
    noted.write_text(
        "\n".join(
            json.dumps({**task, "units": n, "seconds": 1, "device": device}) for device, n in lines
        )
    )
    assert rates(noted) == {Task(**task): Rate(20, "new")}
    assert rates(tmp_path / "none.jsonl") == {}


def test_what_the_store_has_costs_nothing(plan):
    found = plan()
    every = costs_of(found)
    found.model("tiny-gemma").path.mkdir(parents=True)
    models = [cost for cost in costs_of(found) if cost.stage == "models"]
    assert len(models) == len([cost for cost in every if cost.stage == "models"]) - 1
    assert costs_of(found, keys=()) == []


def test_a_disk_that_is_too_small_is_said_with_figures(tmp_path):
    check_disk([Cost("models", disk=1)], tmp_path / "store")
    with pytest.raises(AlignlabError, match=r"needs up to 2,000,000\.0 GB and .* GB are free"):
        check_disk([Cost("models", disk=2 * 10**15), Cost("shift")], tmp_path / "store")


def test_the_paper_asks_23_arms_its_1000_questions(tmp_path, repository, monkeypatch):
    (tmp_path / "config").symlink_to(repository / "config")
    monkeypatch.chdir(tmp_path)
    paper = Plan(load_experiment("urial-paper"))
    costs = costs_of(paper)
    written = [cost.written for cost in costs if cost.stage == "responses" and cost.written]
    assert written == [1000 * 1024] * 23
    weights = paper.model("llama-2-70b").cost(Speeds(32)).disk
    assert weights == 4 * 68_976_648_192
    shifts = [cost for cost in costs if cost.stage == "shift"]
    assert len(shifts) == 6
    assert sum(cost.usd for cost in costs if cost.stage == "judgements") > 100
