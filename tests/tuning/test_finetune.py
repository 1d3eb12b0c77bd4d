import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from lessons import WHERE, aside
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.tuning.examples import UNLABELLED, labelled, open_examples
from alignlab.tuning.fit import TuneJob

KILLED_AT = 23


def steps(adapter):
    return tables.read("training", adapter / "training.parquet").to_pylist()


def without_time(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def data_of(spec, rows, adapter):
    return labelled(open_examples(spec, rows, AutoTokenizer.from_pretrained(adapter)))


def test_an_adapter_and_its_table(make_spec, answers, tune, tmp_path):
    spec = make_spec(epochs=3, batch_size=5, learning_rate=0.01, warmup=0.25)
    adapter = tune(spec, answers, "gemma3_text")
    assert {path.name for path in adapter.iterdir()} == {
        *("adapter_model.safetensors", "adapter_config.json", "training.parquet"),
        *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "SHA256SUMS"),
    }
    assert (
        json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
        == "tiny"
    )
    assert not any(str(tmp_path.parent).encode() in p.read_bytes() for p in adapter.iterdir())
    assert (adapter / "adapter_model.safetensors").stat().st_mode & 0o044
    assert not aside(tmp_path).exists()
    assert tables.spec_of(adapter / "training.parquet") == spec.signed
    rows = steps(adapter)
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert rows[-1]["epoch"] == pytest.approx(3)
    assert max(range(8), key=lambda i: rows[i]["learning_rate"]) == 2
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)
    data = data_of(spec, answers, adapter)
    assert rows[-1]["tokens"] == 3 * sum(len(row["input_ids"]) for row in data)
    assert {row["margin"] for row in rows} == {row["reward"] for row in rows} == {None}


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "gemma2", "granitemoe"])
def test_the_loss_is_plain_cross_entropy_of_the_answers(
    make_spec, answers, tune, model_folder, kind
):
    """An untrained adapter changes nothing, so the first loss is the base model's."""
    lora = {"rank": 4, "alpha": 8, "dropout": 0, "targets": "all-linear"}
    spec = make_spec(batch_size=12, lora=lora)
    adapter = tune(spec, answers, kind)
    model = AutoModelForCausalLM.from_pretrained(model_folder(kind), dtype=torch.float32)
    total = count = 0
    with torch.inference_mode():
        for row in data_of(spec, answers, adapter):
            logits = model(torch.tensor([row["input_ids"]])).logits[0, :-1]
            labels = torch.tensor(row["labels"][1:])
            total += cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="sum")
            count += (labels != UNLABELLED).sum()
    assert steps(adapter)[0]["loss"] == pytest.approx((total / count).item(), rel=1e-5)


def test_a_model_learns_its_examples(make_spec, answers, tune):
    spec = make_spec(batch_size=2, epochs=40, learning_rate=0.03)
    losses = [row["loss"] for row in steps(tune(spec, answers[:2]))]
    assert losses[-1] < 0.8 * losses[0]


def test_the_same_spec_gives_the_same_bytes(make_spec, answers, tune, tmp_path):
    folders = [tmp_path / attempt for attempt in ("once", "twice", "other")]
    for folder in folders:
        folder.mkdir()
    specs = make_spec(epochs=2), make_spec(epochs=2), make_spec(epochs=2, seed=1)
    once, twice, other = (
        tune(spec, answers, folder=folder) for spec, folder in zip(specs, folders, strict=True)
    )
    for name in ("adapter_model.safetensors", "adapter_config.json", "tokenizer.json"):
        assert (once / name).read_bytes() == (twice / name).read_bytes()
    assert without_time(steps(once)) == without_time(steps(twice))
    name = "adapter_model.safetensors"
    assert (other / name).read_bytes() != (once / name).read_bytes()


KILLING = f"""
import os, signal, sys
import torch
from alignlab.tuning import fit
from alignlab.tuning.fit import TuneJob, finetune

class Killing(fit.Watch):
    def on_log(self, args, state, control, **rest):
        super().on_log(args, state, control, **rest)
        if state.global_step == {KILLED_AT}:
            os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
fit.Watch = Killing
finetune(TuneJob.model_validate_json(sys.argv[1]))
"""


def test_a_killed_job_goes_on_where_it_was(make_spec, answers, tune, model_folder, tmp_path):
    """Dropout too: chance is restored with the weights."""
    spec, model = make_spec(epochs=10, learning_rate=0.01), model_folder("llama")
    (tmp_path / "whole").mkdir()
    whole = steps(tune(spec, answers, folder=tmp_path / "whole"))
    output, trainset = tmp_path / "adapter", tmp_path / "whole" / "trainset.parquet"
    job = TuneJob(spec=spec, **WHERE, model=model, trainset=trainset, output=output)
    died = subprocess.run(
        [sys.executable, "-c", KILLING, job.model_dump_json(exclude_none=True)],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert died.returncode == -signal.SIGKILL
    assert not output.exists()
    (checkpoint,) = aside(tmp_path).glob("checkpoint-*")
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    saved = state["log_history"]
    assert KILLED_AT - len(saved) < 3
    torn = aside(tmp_path) / "checkpoint-29"  # what a kill while saving leaves: no state yet
    torn.mkdir()
    resumed = steps(tune(spec, answers))
    assert [row["step"] for row in resumed] == [row["step"] for row in whole] == list(range(1, 31))
    assert [row["seconds"] for row in resumed[: len(saved)]] == [row["seconds"] for row in saved]
    assert resumed[len(saved)]["seconds"] > saved[-1]["seconds"]
    for again, once in zip(resumed, whole, strict=True):
        assert again["tokens"] == once["tokens"]
        assert again["loss"] == pytest.approx(once["loss"], rel=1e-5)
        assert again["grad_norm"] == pytest.approx(once["grad_norm"], rel=1e-3)


def test_a_loss_that_is_no_number_names_its_step(make_spec, answers, tune, tmp_path):
    spec = make_spec(learning_rate=1e38, warmup=0)
    with pytest.raises(AlignlabError, match=r"tiny-tuned: the loss is nan .* at step 2"):
        tune(spec, answers)
    assert not (tmp_path / "adapter").exists()


@pytest.mark.parametrize("targets", [["nothing"], ["q_proj", "nothing"], ["lm_head"]])
def test_targets_without_a_layer_are_named(make_spec, answers, tune, tmp_path, targets):
    lora = {"rank": 4, "alpha": 8, "dropout": 0, "targets": targets}
    with pytest.raises(AlignlabError, match=rf"targets: .*{targets[-1]}; it has .*q_proj"):
        tune(make_spec(lora=lora), answers)
    assert not list(aside(tmp_path).glob("checkpoint-*"))


def test_checkpoints_of_other_rows_are_dropped(make_spec, answers, tune, tmp_path):
    """A set is made again under its name when an endpoint mends the analyses in it."""
    state = aside(tmp_path) / "checkpoint-1" / "trainer_state.json"
    state.parent.mkdir(parents=True)
    state.write_text("of other rows")
    (aside(tmp_path) / "trainset.sha256").write_text("another")
    tune(make_spec(), answers)


def test_chosen_targets_only(make_spec, answers, tune):
    lora = {"rank": 4, "alpha": 8, "dropout": 0, "targets": ["q_proj", "v_proj"]}
    adapter = tune(make_spec(lora=lora), answers)
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["target_modules"] == ["q_proj", "v_proj"]


def test_fewer_examples_than_a_batch_are_refused(make_spec, answers, tune):
    with pytest.raises(AlignlabError, match=r"3 examples .* batch_size is 4"):
        tune(make_spec(batch_size=4), answers[:3])


def test_a_template_that_drops_the_answer_stops_before_any_step(make_spec, answers, tune):
    template = (
        "{{ bos_token }}{% for m in messages %}{{ m.content if m.role == 'user' }}{% endfor %}"
    )
    with pytest.raises(AlignlabError, match=r"tiny-tuned: .* drops the assistant's turn"):
        tune(make_spec(chat_template=template), answers)
