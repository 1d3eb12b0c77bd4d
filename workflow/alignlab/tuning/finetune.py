"""Fine-tunes a model on question-answer pairs; a killed job goes on from its last checkpoint.

    snakemake --cores 2 --until tune_model

Low-rank updates of frozen weights (LoRA, arXiv 2106.09685) through PEFT, steps through TRL. The
output is the adapter, the tokenizer with its chat template, and `training.parquet`, a row a step.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from huggingface_hub import constants
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    PrinterCallback,
    set_seed,
)
from transformers.trainer_pt_utils import get_length_grouped_indices
from trl import SFTConfig

from alignlab import tables
from alignlab.errors import AlignlabError
from alignlab.prompting.build import build_prompter
from alignlab.prompting.encode import encoder
from alignlab.tables import Row
from alignlab.tuning.examples import choose_padding, labelled
from alignlab.tuning.trainer import CompletionTrainer
from alignlab.tuning.watch import Watch

log = logging.getLogger(__name__)
CHECKPOINTS = 10

# TRL reports every trainer that is made to the model hub.
constants.HF_HUB_DISABLE_TELEMETRY = True


def finetune(spec: dict[str, Any], model: Path, output: Path, aside: Path) -> None:
    """Tune a model.

    Args:
        spec: the adapter's semantic slice: keys of `alignlab.experiment.tuning.Tuned` with the
            examples, the method and the chat template resolved, and `engine`, `seed`, `digest`.
        model: folder of the materialised base model.
        output: folder to make; it appears whole or not at all.
        aside: folder of checkpoints; removed at the end.

    Raises:
        AlignlabError: an example or a target is wrong (before any step), or the loss diverges.
    """
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = spec.get("chat_template", tokenizer.chat_template)
    choose_padding(tokenizer)
    rows = _rows(spec, tokenizer)
    tuned = _with_lora(spec, model)
    trainer = CompletionTrainer(
        model=tuned,
        args=_arguments(spec, len(rows), aside),
        train_dataset=Dataset.from_list(rows).select(_order(spec, rows)),
        processing_class=tokenizer,
        callbacks=[Watch(spec["name"])],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=_last_checkpoint(aside))
    with tables.building(output) as folder:
        _save(tuned, spec["base"], folder)
        tokenizer.save_pretrained(folder)
        steps = [entry for entry in trainer.state.log_history if "loss" in entry]
        table = [_step(entry, spec["epochs"]) for entry in steps]
        tables.write("training", folder / "training.parquet", table, spec)
    shutil.rmtree(aside, ignore_errors=True)


def _rows(spec: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> list[dict[str, list[int]]]:
    prompter = build_prompter(spec["method"], tokenizer, None)
    rows = labelled(spec, tokenizer, prompter, encoder(tokenizer, prompter))
    log.info("first example of %s:\n%s", spec["name"], tokenizer.decode(rows[0]["input_ids"]))
    return rows


def _order(spec: dict[str, Any], rows: list[dict[str, list[int]]]) -> list[int]:
    """Which row comes when, over all epochs: shuffled, with rows of like length side by side.

    Fixed before the first step, so a resumed job skips exactly what was seen.
    """
    chance = torch.Generator().manual_seed(spec["seed"])
    lengths = [len(row["input_ids"]) for row in rows]
    epochs = range(spec["epochs"])
    shuffled = [
        get_length_grouped_indices(lengths, spec["batch_size"], generator=chance) for _ in epochs
    ]
    return [index for epoch in shuffled for index in epoch]


def _with_lora(spec: dict[str, Any], folder: Path) -> PeftModel:
    """The model with an untrained adapter; PEFT refuses only targets of which none matches."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, spec["engine"]["dtype"]), use_safetensors=True
    )
    lora, targets = spec["lora"], spec["lora"]["targets"]
    if targets != "all-linear":
        head, linear = model.get_output_embeddings(), torch.nn.Linear
        layers = [n for n, m in model.named_modules() if isinstance(m, linear) and m is not head]
        known = {name.rpartition(".")[2] for name in layers}
        if unknown := sorted(set(targets) - known):
            raise AlignlabError(
                f"{spec['name']}: lora.targets: {spec['base']} has no linear layer "
                f"{', '.join(unknown)}; it has {', '.join(sorted(known))}"
            )
    set_seed(spec["seed"])
    config = LoraConfig(
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def _arguments(spec: dict[str, Any], rows: int, aside: Path) -> SFTConfig:
    """One pass of the trainer over the rows of all epochs, in their order."""
    steps = -(-rows * spec["epochs"] // spec["batch_size"])
    return SFTConfig(
        output_dir=str(aside),
        seed=spec["seed"],
        num_train_epochs=1,
        per_device_train_batch_size=spec["batch_size"],
        train_sampling_strategy="sequential",
        dataset_kwargs={"skip_prepare_dataset": True},
        learning_rate=spec["learning_rate"],
        lr_scheduler_type="linear",
        warmup_steps=round(spec["warmup"] * steps),
        max_grad_norm=spec["max_grad_norm"],
        bf16=False,  # mixed precision; weights have the engine's dtype already
        gradient_checkpointing=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        save_steps=max(1, steps // CHECKPOINTS),
        save_total_limit=1,
        logging_steps=1,
        logging_nan_inf_filter=False,
        include_num_input_tokens_seen="non_padding",
        disable_tqdm=True,
        report_to="none",
    )


def _last_checkpoint(aside: Path) -> str | None:
    """The newest checkpoint that was written to its end, where its state stands."""
    states = aside.glob("checkpoint-*/trainer_state.json")
    numbered = {int(path.parent.name.partition("-")[2]): str(path.parent) for path in states}
    return numbered[max(numbered)] if numbered else None


def _step(entry: Row, epochs: int) -> Row:
    """A row of the training table from what the trainer logged."""
    return {
        "step": entry["step"],
        "epoch": entry["epoch"] * epochs,
        "loss": entry["loss"],
        "grad_norm": entry["grad_norm"],
        "learning_rate": entry["learning_rate"],
        "tokens": int(entry["num_input_tokens_seen"]),
        "seconds": entry["seconds"],
    }


def _save(tuned: PeftModel, base: str, folder: Path) -> None:
    """Write the adapter; nothing in it says on which machine it was made."""
    config = tuned.peft_config["default"]
    config.base_model_name_or_path = base
    config.target_modules = sorted(config.target_modules)  # a set, whose order changes by process
    tuned.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()
    # safetensors writes 0600, which a shared store cannot use.
    mode = (folder / "adapter_config.json").stat().st_mode
    (folder / "adapter_model.safetensors").chmod(mode)
