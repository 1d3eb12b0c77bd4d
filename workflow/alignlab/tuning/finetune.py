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

from transformers import AutoTokenizer

from alignlab.core import checksums, tables
from alignlab.planning.job import Job
from alignlab.tuning.config import TRAINERS
from alignlab.tuning.examples import (
    AdapterSpec,
    check_batch,
    check_turns,
    choose_padding,
    open_examples,
)
from alignlab.tuning.fit import Trained, save

log = logging.getLogger(__name__)


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
        AlignlabError: an example or a target is wrong (before any step), or the loss diverges.
    """
    spec = job.spec
    _forget_if_other(job.aside, job.trainset)
    rows = list(tables.rows("trainset", job.trainset))
    check_batch(spec, len(rows), "examples")
    tokenizer = AutoTokenizer.from_pretrained(job.model)
    if spec.chat_template is not None:
        tokenizer.chat_template = spec.chat_template
    choose_padding(tokenizer)
    examples = open_examples(spec, rows, tokenizer)
    check_turns(examples.prompter, spec.name)
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
