import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from alignlab import tables
from alignlab.errors import AlignlabError
from alignlab.prompting.build import build_prompter
from alignlab.prompting.encode import encoder
from alignlab.tuning.examples import UNLABELLED, labelled
from alignlab.tuning.finetune import finetune

KILLED_AT = 23


def tuned(spec, model, folder):
    finetune(spec, model, folder / "adapter", folder / "aside")
    return folder / "adapter"


def steps(adapter):
    return tables.read("training", adapter / "training.parquet").to_pylist()


def without_time(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_an_adapter_and_its_table(make_spec, model_folder, tmp_path, pairs):
    spec = make_spec(epochs=3, batch_size=5, learning_rate=0.01, warmup=0.25)
    adapter = tuned(spec, model_folder("gemma3_text"), tmp_path)
    assert {path.name for path in adapter.iterdir()} == {
        *("adapter_model.safetensors", "adapter_config.json", "training.parquet"),
        *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
    }
    assert (
        json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
        == "tiny"
    )
    assert not any(str(tmp_path.parent).encode() in p.read_bytes() for p in adapter.iterdir())
    assert (adapter / "adapter_model.safetensors").stat().st_mode & 0o044
    assert not (tmp_path / "aside").exists()
    assert tables.spec_of(adapter / "training.parquet") == spec
    rows = steps(adapter)
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert rows[-1]["epoch"] == pytest.approx(3)
    assert max(range(8), key=lambda i: rows[i]["learning_rate"]) == 2
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    prompter = build_prompter(spec["method"], tokenizer, None)
    data = labelled(spec, tokenizer, prompter, encoder(tokenizer, prompter))
    assert rows[-1]["tokens"] == 3 * sum(len(row["input_ids"]) for row in data)


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "gemma2"])
def test_the_loss_is_plain_cross_entropy_of_the_answers(make_spec, model_folder, tmp_path, kind):
    """An untrained adapter changes nothing, so the first loss is the base model's."""
    spec = make_spec(batch_size=12)
    adapter = tuned(spec, model_folder(kind), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    prompter = build_prompter(spec["method"], tokenizer, None)
    rows = labelled(spec, tokenizer, prompter, encoder(tokenizer, prompter))
    model = AutoModelForCausalLM.from_pretrained(model_folder(kind), dtype=torch.float32)
    total = count = 0
    with torch.inference_mode():
        for row in rows:
            logits = model(torch.tensor([row["input_ids"]])).logits[0, :-1]
            labels = torch.tensor(row["labels"][1:])
            total += cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="sum")
            count += (labels != UNLABELLED).sum()
    assert steps(adapter)[0]["loss"] == pytest.approx((total / count).item(), rel=1e-5)


def test_a_model_learns_its_examples(make_spec, model_folder, tmp_path, pairs):
    spec = make_spec(examples=pairs[:2], batch_size=2, epochs=80, learning_rate=0.03)
    losses = [row["loss"] for row in steps(tuned(spec, model_folder("llama"), tmp_path))]
    assert losses[-1] < 0.7 * losses[0]


def test_the_same_spec_gives_the_same_bytes(make_spec, model_folder, tmp_path):
    spec = make_spec(epochs=2)
    once, twice = (
        tuned(spec, model_folder("llama"), tmp_path / attempt) for attempt in ("once", "twice")
    )
    for name in ("adapter_model.safetensors", "adapter_config.json", "tokenizer.json"):
        assert (once / name).read_bytes() == (twice / name).read_bytes()
    assert without_time(steps(once)) == without_time(steps(twice))
    other = tuned(make_spec(epochs=2, seed=1), model_folder("llama"), tmp_path / "other")
    name = "adapter_model.safetensors"
    assert (other / name).read_bytes() != (once / name).read_bytes()


KILLING = f"""
import json, os, signal, sys
from pathlib import Path
import torch
from alignlab.tuning import finetune

class Killing(finetune.Watch):
    def on_log(self, args, state, control, **rest):
        super().on_log(args, state, control, **rest)
        if state.global_step == {KILLED_AT}:
            os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
finetune.Watch = Killing
spec, model, output, aside = json.loads(sys.argv[1]), *map(Path, sys.argv[2:])
finetune.finetune(spec, model, output, aside)
"""


def test_a_killed_job_goes_on_where_it_was(make_spec, model_folder, tmp_path):
    """Dropout too: chance is restored with the weights."""
    spec, model = make_spec(epochs=10, learning_rate=0.01), model_folder("llama")
    whole = steps(tuned(spec, model, tmp_path / "whole"))
    output, aside = tmp_path / "adapter", tmp_path / "aside"
    command = [sys.executable, "-c", KILLING, json.dumps(spec), model, output, aside]
    died = subprocess.run(command, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert died.returncode == -signal.SIGKILL
    assert not output.exists()
    (checkpoint,) = aside.glob("checkpoint-*")
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    saved = state["log_history"]
    assert KILLED_AT - len(saved) < 3
    torn = aside / "checkpoint-29"  # what a kill while saving leaves: no state yet
    torn.mkdir()
    resumed = steps(tuned(spec, model, tmp_path))
    assert [row["step"] for row in resumed] == [row["step"] for row in whole] == list(range(1, 31))
    assert [row["seconds"] for row in resumed[: len(saved)]] == [row["seconds"] for row in saved]
    assert resumed[len(saved)]["seconds"] > saved[-1]["seconds"]
    for again, once in zip(resumed, whole, strict=True):
        assert again["tokens"] == once["tokens"]
        assert again["loss"] == pytest.approx(once["loss"], rel=1e-5)
        assert again["grad_norm"] == pytest.approx(once["grad_norm"], rel=1e-3)


def test_a_loss_that_is_no_number_names_its_step(make_spec, model_folder, tmp_path):
    spec = make_spec(learning_rate=1e38, warmup=0)
    with pytest.raises(AlignlabError, match=r"tiny-tuned: the loss is nan .* at step 2"):
        tuned(spec, model_folder("llama"), tmp_path)
    assert not (tmp_path / "adapter").exists()


@pytest.mark.parametrize("targets", [["nothing"], ["q_proj", "nothing"], ["lm_head"]])
def test_targets_without_a_layer_are_named(make_spec, model_folder, tmp_path, targets):
    lora = {"rank": 4, "alpha": 8, "dropout": 0, "targets": targets}
    with pytest.raises(AlignlabError, match=rf"lora.targets: .*{targets[-1]}; it has .*q_proj"):
        tuned(make_spec(lora=lora), model_folder("llama"), tmp_path)
    assert not (tmp_path / "aside").exists()


def test_chosen_targets_only(make_spec, model_folder, tmp_path):
    lora = {"rank": 4, "alpha": 8, "dropout": 0, "targets": ["q_proj", "v_proj"]}
    adapter = tuned(make_spec(lora=lora), model_folder("llama"), tmp_path)
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["target_modules"] == ["q_proj", "v_proj"]
