"""What every trainer shares: the order of the rows, the arguments, the resumed run, the table.

    snakemake --cores 2 --until tune_model

A killed run goes on from its last checkpoint: rows come in an order that is fixed before the first
step, and the checkpoint holds the state of the random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from datasets import Dataset
from huggingface_hub import constants
from transformers import PrinterCallback, Trainer, TrainingArguments
from transformers.trainer_pt_utils import get_length_grouped_indices

from alignlab.core import tables
from alignlab.core.tables import Row
from alignlab.tuning.examples import Examples
from alignlab.tuning.lora import save_adapter
from alignlab.tuning.watch import Watch

if TYPE_CHECKING:
    from peft import PeftModel

CHECKPOINTS = 10
# For trainers that learn from several answers to a question at once: what layers keep is computed
# anew, also without a GPU. RLOO on 135M parameters takes 10 GB otherwise.
SEVERAL_ANSWERS = {"gradient_checkpointing": True}
# Columns of the table `training` → what TRL's trainers log.
LOGGED = {
    "margin": ("margin", "rewards/margins"),
    "accuracy": ("accuracy", "rewards/accuracies"),
    "reward": ("reward",),
    "kl": ("kl",),
}

# TRL reports every trainer that is made to the model hub.
constants.HF_HUB_DISABLE_TELEMETRY = True


class Trained(NamedTuple):
    """A model with its adapter, rows of the table `training`, and a folder to keep beside them."""

    model: PeftModel
    steps: list[Row]
    reward: Path | None = None


def order(lengths: Sequence[int], passes: int, batch_size: int, seed: int) -> list[int]:
    """Which row comes when, over all passes: shuffled, with rows of like length side by side."""
    chance = torch.Generator().manual_seed(seed)
    shuffled = [
        get_length_grouped_indices(lengths, batch_size, generator=chance) for _ in range(passes)
    ]
    return [index for each in shuffled for index in each]


def arguments(
    kind: type[TrainingArguments], spec: dict[str, Any], steps: int, aside: Path, **own: Any
) -> TrainingArguments:
    """Arguments of one pass over rows that are in their order already.

    Args:
        kind: the trainer's own class of arguments.
        spec: `seed`, `learning_rate`, `batch_size`, `warmup` and `max_grad_norm`.
        steps: how many optimizer steps the rows give.
        aside: folder of checkpoints.
        own: arguments of this trainer alone; they win.
    """
    shared = {
        "output_dir": str(aside),
        "seed": spec["seed"],
        "num_train_epochs": 1,
        "per_device_train_batch_size": spec["batch_size"],
        "train_sampling_strategy": "sequential",
        "learning_rate": spec["learning_rate"],
        "lr_scheduler_type": "linear",
        "warmup_steps": round(spec["warmup"] * steps),
        "max_grad_norm": spec["max_grad_norm"],
        "bf16": False,  # mixed precision; weights have the engine's dtype already
        # On a GPU memory is what runs out, elsewhere time.
        "gradient_checkpointing": torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "save_steps": max(1, steps // CHECKPOINTS),
        "save_total_limit": 1,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "non_padding",
        "disable_tqdm": True,
        "report_to": "none",
    }
    return kind(**{**shared, **own})


def fit(
    kind: type[Trainer],
    args: TrainingArguments,
    examples: Examples,
    rows: Sequence[Row],
    chosen: Sequence[int],
    **own: Any,
) -> Trained:
    """Train to the end, from the last checkpoint if there is one.

    Args:
        kind: a TRL trainer.
        args: from `arguments`.
        examples: whose spec and tokenizer are used.
        rows: what the trainer learns from.
        chosen: indices of rows in the order of training, from `order`.
        own: more arguments of this trainer, such as `model`.

    Raises:
        AlignlabError: the loss diverges.
    """
    trainer = kind(
        args=args,
        train_dataset=Dataset.from_list(rows).select(chosen),
        processing_class=examples.tokenizer,
        callbacks=[Watch(examples.spec["name"])],
        **own,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=_last_checkpoint(Path(args.output_dir)))
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    passes = len(chosen) / len(rows)
    return Trained(trainer.model, [_step(entry, passes) for entry in steps])


def _last_checkpoint(aside: Path) -> str | None:
    """The newest checkpoint that was written to its end, where its state stands."""
    states = aside.glob("checkpoint-*/trainer_state.json")
    numbered = {int(path.parent.name.partition("-")[2]): str(path.parent) for path in states}
    return numbered[max(numbered)] if numbered else None


def _step(entry: Row, passes: float) -> Row:
    """A row of the training table from what the trainer logged."""
    return {
        "step": entry["step"],
        "epoch": entry["epoch"] * passes,
        "loss": entry["loss"],
        **{
            column: next((entry[name] for name in names if name in entry), None)
            for column, names in LOGGED.items()
        },
        "grad_norm": entry["grad_norm"],
        "learning_rate": entry["learning_rate"],
        "tokens": entry["tokens"],
        "seconds": entry["seconds"],
    }


def save(trained: Trained, examples: Examples, folder: Path) -> None:
    """Write the adapter, the tokenizer with its chat template, and `training.parquet`."""
    save_adapter(trained.model, examples.spec["base"], folder)
    examples.tokenizer.save_pretrained(folder)
    tables.write("training", folder / "training.parquet", trained.steps, examples.spec)
