"""LoRA tuning of the demo's base model: throughput and peak memory against a bare TRL script.

    make run && .venv/bin/python benchmarks/tuning.py                  # about 5 minutes on one core
    .venv/bin/python benchmarks/tuning.py --examples 8                 # about 1

Both tune on the same ids with the same settings, one after the other in a process of its own, so
that its peak of memory is its own too. Loading the model is not timed.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import torch
import yaml
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from alignlab.core import tables
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.tuning.config import TunedConfig
from alignlab.tuning.examples import AdapterSpec, choose_padding, labelled, open_examples
from alignlab.tuning.fit import TuneJob, finetune

BASE = "gemma-3-270m"


def main() -> None:
    options = arguments()
    model = options.model or Plan(load_experiment("demo")).model(BASE).path
    speeds = {}
    for name, run in (("ours", ours), ("bare TRL", bare)):
        with get_context("spawn").Pool(1) as pool:
            tokens, seconds, peak = pool.apply(measured, (run, model, options))
        speeds[name] = tokens / seconds
        print(f"{name}: {tokens} tokens, {speeds[name]:.1f} tokens/s, peak {peak:.0f} MB")
    print(f"throughput: ratio {speeds['ours'] / speeds['bare TRL']:.2f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", type=Path, help="folder of the model; the store's if absent")
    return parser.parse_args()


def measured(run, model: Path, options: argparse.Namespace) -> tuple[int, float, float]:
    """Tokens, seconds of training, and peak memory in MB."""
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        tokens, seconds = run(spec_of(), rows_of(options.examples), model, Path(folder))
    return tokens, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def spec_of() -> AdapterSpec:
    keys = TunedConfig(name="warm", base=BASE, trainset="pool").model_dump(
        mode="json", exclude_none=True
    )
    given = {
        **keys,
        "method": {"kind": "chat"},
        "chat_template": Path("config/prompts/chat/gemma.jinja").read_text(encoding="utf-8"),
        "engine": {"dtype": "float32"},
        "seed": 0,
    }
    return AdapterSpec.model_validate(given)


def rows_of(examples: int) -> list[dict]:
    """Rows of the table `trainset`."""
    pool = yaml.safe_load(Path("config/prompts/icl/pool.yaml").read_text(encoding="utf-8"))
    return [
        {
            **{"example_id": f"answer/pool/{number}", "kind": "answer"},
            **{"prompt_id": f"pool/{number}", "prompt": pair["query"]},
            **{"markers": [""], "completion": [pair["answer"]], "rejected": None},
        }
        for number, pair in enumerate(pool["examples"][:examples])
    ]


def ours(spec: AdapterSpec, rows: list[dict], model: Path, folder: Path) -> tuple[int, float]:
    trainset, adapter = folder / "trainset.parquet", folder / "adapter"
    tables.write("trainset", trainset, rows, {})
    aside = folder / "checkpoints"
    finetune(TuneJob(spec=spec, aside=aside, model=model, trainset=trainset, output=adapter))
    last = tables.read("training", adapter / "training.parquet").to_pylist()[-1]
    return last["tokens"], last["seconds"]


def bare(spec: AdapterSpec, examples: list[dict], model: Path, folder: Path) -> tuple[int, float]:
    """What TRL's documentation suggests, with our settings and no more."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = spec.chat_template
    opened = open_examples(spec, examples, tokenizer)
    choose_padding(opened)
    rows = labelled(opened)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        args=SFTConfig(
            output_dir=str(folder),
            num_train_epochs=spec.epochs,
            per_device_train_batch_size=spec.batch_size,
            learning_rate=spec.learning_rate,
            max_length=None,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"),
    )
    start = time.perf_counter()
    trainer.train()
    return sum(len(row["input_ids"]) for row in rows) * spec.epochs, time.perf_counter() - start


if __name__ == "__main__":
    main()
