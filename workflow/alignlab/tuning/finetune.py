"""Fine-tunes a model on a training set; a killed job goes on from its last checkpoint.

    snakemake --cores 2 --until tune_model

Low-rank updates of frozen weights (LoRA, arXiv 2106.09685) through PEFT, steps through TRL. The
output is the adapter, the tokenizer with its chat template, and `training.parquet`, a row a step;
`rlhf` keeps its reward model beside them, as an adapter of the same form.
"""

from __future__ import annotations

import logging
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from alignlab import checksums, tables
from alignlab.experiment.units import UNITS
from alignlab.tuning.examples import open_examples
from alignlab.tuning.fit import Trained, save
from alignlab.tuning.preflight import check_batch, check_turns, choose_padding

log = logging.getLogger(__name__)


def finetune(
    spec: dict[str, Any],
    model: Path,
    trainset: Path,
    output: Path,
    aside: Path,
) -> None:
    """Tune a model.

    Trainers are imported by name, so that a change in one leaves the digests of others alone.

    Args:
        spec: the adapter's semantic slice: keys of `alignlab.experiment.tuning.Tuned` with the
            method and the chat template resolved, and `engine`, `seed`, `digest`.
        model: folder of the materialised base model.
        trainset: table of examples.
        output: folder to make; it appears whole or not at all.
        aside: folder of checkpoints; removed at the end.

    Raises:
        AlignlabError: an example or a target is wrong (before any step), or the loss diverges.
    """
    _forget_if_other(aside, trainset)
    rows = list(tables.rows("trainset", trainset))
    check_batch(spec, len(rows), "examples")
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = spec.get("chat_template", tokenizer.chat_template)
    choose_padding(tokenizer)
    examples = open_examples(spec, rows, tokenizer)
    check_turns(examples.prompter, spec["name"])
    log.info("first prompt of %s:\n%s", spec["name"], examples.render(rows[0]))
    module = import_module(UNITS[f"trainer {spec['trainer']}"])
    trained: Trained = module.train(examples, model, aside)
    with tables.building(output) as folder:
        save(trained, examples, folder)
        if trained.reward:
            shutil.copytree(trained.reward, folder / "reward")
    shutil.rmtree(aside, ignore_errors=True)


def _forget_if_other(aside: Path, trainset: Path) -> None:
    """Drop checkpoints of other rows: a set whose analyses an endpoint failed is made again under
    its name.
    """
    note, digest = aside / "trainset.sha256", checksums.sha256(trainset)
    if note.exists() and note.read_text(encoding="utf-8") != digest:
        shutil.rmtree(aside)
    aside.mkdir(parents=True, exist_ok=True)
    note.write_text(digest, encoding="utf-8")
