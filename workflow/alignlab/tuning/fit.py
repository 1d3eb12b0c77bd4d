"""Tunes a model: the job, and what every trainer shares, from the base model to the saved adapter.

A killed run goes on from its last checkpoint: rows come in an order that is fixed before the first
step, and the checkpoint holds the state of the random numbers. LoRA (arXiv 2106.09685) comes
through PEFT; weights are read and written as safetensors only.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from datasets import Dataset
from huggingface_hub import constants
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_pt_utils import get_length_grouped_indices

from alignlab.core import checksums, tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.core.unfinished import progress
from alignlab.engines.packing import require_unpacked
from alignlab.planning.artefact import Job
from alignlab.tuning.config import TRAINERS
from alignlab.tuning.examples import (
    AdapterSpec,
    Examples,
    check_batch,
    choose_padding,
    open_examples,
)
from alignlab.tuning.lora import left_frozen
from alignlab.tuning.step import require_tunable, without_dropout

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)
CHECKPOINTS = 10
# For trainers that learn from several answers to a question at once: what layers keep is computed
# anew, also without a GPU. RLOO on 135M parameters takes 10 GB otherwise.
SEVERAL_ANSWERS = {"gradient_checkpointing": True}
# TRL adds a loss that spreads tokens over experts, padding too, by the weight in a model's config.
# No paper of these trainers has it.
NO_BALANCING = {"router_aux_loss_coef": 0.0}
# Columns of the table `training` → what TRL's trainers log.
LOGGED = {
    "margin": ("margin", "rewards/margins"),
    "accuracy": ("accuracy", "rewards/accuracies"),
    "reward": ("reward",),
    "kl": ("kl",),
}
# TRL reports every trainer that is made to the model hub.
constants.HF_HUB_DISABLE_TELEMETRY = True


def open_base(spec: AdapterSpec, folder: Path, kind: Any, **keys: Any) -> PreTrainedModel:
    """The base model without any adapter.

    Args:
        spec: the adapter's slice.
        folder: of the materialised model.
        kind: one of transformers' `AutoModelFor...` classes.
        keys: more arguments of its `from_pretrained`; they win.

    Raises:
        AlignlabError: the architecture has no such form.
    """
    require_unpacked(folder)
    keys = {"dtype": getattr(torch, spec.engine.dtype), "use_safetensors": True, **keys}
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if spec.trainer != "sft":  # what compares a model with itself
        config = without_dropout(config)
    text = config.get_text_config(decoder=True)
    if getattr(text, "output_router_logits", False):  # of use to a loss that is not added
        text.output_router_logits = False
    if "num_labels" in keys:
        config.num_labels = keys.pop("num_labels")
    try:
        return kind.from_pretrained(folder, config=config, trust_remote_code=False, **keys)
    except (ValueError, ImportError) as error:
        raise AlignlabError(f"{spec.name}: {spec.base} cannot be tuned: {error}") from error


def save_adapter(tuned: PeftModel, base: str, folder: Path) -> None:
    """Write the adapter; nothing in it says on which machine it was made."""
    config = tuned.peft_config["default"]
    config.base_model_name_or_path = base
    # Sets, whose order changes by process.
    for targets in ("target_modules", "target_parameters", "exclude_modules"):
        if (named := getattr(config, targets)) and not isinstance(named, str):
            setattr(config, targets, sorted(named))
    tuned.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()
    # safetensors writes 0600, which a shared store cannot use.
    mode = (folder / "adapter_config.json").stat().st_mode
    (folder / "adapter_model.safetensors").chmod(mode)


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
    kind: type[TrainingArguments], spec: AdapterSpec, steps: int, aside: Path, **own: Any
) -> TrainingArguments:
    """Arguments of one pass over rows that are in their order already.

    Args:
        kind: the trainer's own class of arguments.
        spec: of what is learnt now; a reward model has rates and batches of its own.
        steps: how many optimizer steps the rows give.
        aside: folder of checkpoints.
        own: arguments of this trainer alone; they win.
    """
    shared = {
        "output_dir": str(aside),
        "seed": spec.seed,
        "num_train_epochs": 1,
        "per_device_train_batch_size": spec.batch_size,
        "train_sampling_strategy": "sequential",
        "learning_rate": spec.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": round(spec.warmup * steps),
        "max_grad_norm": spec.max_grad_norm,
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
    if not own["model"].supports_gradient_checkpointing:
        args.gradient_checkpointing = args.activation_checkpointing = False  # its newer name
    trainer = kind(
        args=args,
        train_dataset=Dataset.from_list(rows).select(chosen),
        processing_class=examples.tokenizer,
        callbacks=[Watch(examples.spec.name)],
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
    save_adapter(trained.model, examples.spec.base, folder)
    if examples.spec.lora.targets == "all-linear" and (frozen := left_frozen(trained.model)):
        log.warning(
            "%s: LoRA leaves %d matrices of %s as they are, among them %s",
            *(examples.spec.name, len(frozen), examples.spec.base, frozen[0]),
        )
        content = json.dumps({"not_tuned": frozen}, indent=2) + "\n"
        (folder / "not_tuned.json").write_text(content, encoding="utf-8")
    examples.tokenizer.save_pretrained(folder)
    tables.write("training", folder / "training.parquet", trained.steps, examples.spec.signed)


class Watch(TrainerCallback):
    """Adds `seconds` and `tokens` to every logged step; the trainer's checkpoints keep them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Go on counting where an interrupted attempt was saved."""
        before = state.log_history[-1]["seconds"] if state.log_history else 0.0
        self.start = time.monotonic() - before
        self.bar = progress(state.max_steps, "step")
        self.bar.update(state.global_step)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Complete the entry of a step.

        Raises:
            AlignlabError: the loss or the gradient is no number any more.
        """
        entry = state.log_history[-1]
        entry["seconds"] = time.monotonic() - self.start
        entry["tokens"] = state.num_input_tokens_seen
        if "loss" not in entry:
            return
        self.bar.set_postfix(loss=f"{entry['loss']:.2f}", refresh=False)
        self.bar.update()
        if not math.isfinite(entry["loss"] + entry["grad_norm"]):
            raise AlignlabError(
                f"{self.name}: the loss is {entry['loss']} and the gradient's norm "
                f"{entry['grad_norm']} at step {state.global_step}; try a lower learning_rate"
            )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Close the bar."""
        self.bar.close()


class TuneJob(Job):
    """What `finetune` is given.

    Attributes:
        model: folder of the materialised base model.
        trainset: table of examples.
        prompts: tables of what arms are asked, which the set must not hold; `finetune` reads none,
            `alignlab.learning.overlap` does.
        output: folder to make; it appears whole or not at all.
        aside: folder of checkpoints; removed at the end.
    """

    spec: AdapterSpec
    aside: Path
    model: Path
    trainset: Path
    prompts: tuple[Path, ...] = ()


def finetune(job: TuneJob) -> None:
    """Tune a model.

    Trainers are imported by name, so that a change in one leaves the digests of others alone.

    Raises:
        AlignlabError: the architecture, an example or a target is wrong (before any step), or the
            loss diverges.
    """
    spec = job.spec
    require_tunable(spec.name, job.model, spec.trainer, spec.lora.targets)
    _forget_if_other(job.aside, job.trainset)
    rows = list(tables.rows("trainset", job.trainset))
    check_batch(spec, len(rows), "examples")
    tokenizer = AutoTokenizer.from_pretrained(job.model, trust_remote_code=False)
    if spec.chat_template is not None:
        tokenizer.chat_template = spec.chat_template
    examples = open_examples(spec, rows, tokenizer)
    choose_padding(examples)
    log.info("first prompt of %s:\n%s", spec.name, examples.render(rows[0]))
    module = import_module(TRAINERS[spec.trainer].unit.module)
    trained: Trained = module.train(examples, job.model, job.aside)
    with tables.building(job.output) as folder:
        save(trained, examples, folder)
        if trained.reward:
            shutil.copytree(trained.reward, folder / "reward")
    shutil.rmtree(job.aside, ignore_errors=True)


def _forget_if_other(aside: Path, trainset: Path) -> None:
    """Drop checkpoints of other rows: a set whose analyses an endpoint failed is made again under
    its name.
    """
    note, digest = aside / "trainset.sha256", checksums.sha256(trainset)
    if note.exists() and note.read_text(encoding="utf-8") != digest:
        shutil.rmtree(aside)
    aside.mkdir(parents=True, exist_ok=True)
    note.write_text(digest, encoding="utf-8")
