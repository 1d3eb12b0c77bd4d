"""What is noted at every optimizer step: time over all attempts, progress, and a loss gone wrong.

snakemake --cores 2 --until tune_model          # the log shows the rate and the time left
"""

from __future__ import annotations

import math
import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from alignlab.core.errors import AlignlabError
from alignlab.core.progress import progress


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
