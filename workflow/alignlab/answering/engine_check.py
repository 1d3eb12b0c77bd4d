"""Does vLLM compute what transformers computes? The same prompts through both, token by token.

vLLM answers greedily and reports the log-probability of each of its tokens. transformers is forced
along the same tokens and reports its own, and then answers by itself. Equal log-probabilities mean
equal models; where answers part, the gap between the two tokens shows whether it was a near-tie.
What cannot be compared, a prompt without room for an answer or a model that transformers does not
run, is a row that says why.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.tables import Row
from alignlab.engines.base import Request
from alignlab.engines.config import DecodingConfig, EngineConfig
from alignlab.planning.artefact import Job, Spec
from alignlab.prompting.build import build_prompter
from alignlab.prompting.encode import Stopping, begins_with, common_prefix, encoder, shared_prefix
from alignlab.shift.model import Forced, ScoringModel, Weights

log = logging.getLogger(__name__)
PROMPTS, NEW_TOKENS, BATCH = 32, 64, 8
Answer = dict[str, Any]
"""`token_ids` and their `logprobs` by vLLM, or what it is `lacking`."""


@dataclass(frozen=True)
class CheckedPrompts:
    """The prompts of a check; `skipped` has those that leave no room, and how many tokens."""

    prompt_ids: list[str]
    token_ids: list[list[int]]
    prefix: list[int]
    skipped: list[tuple[str, int]]


class EngineCheckSpec(Spec):
    """What a check is made of: a model, and how its first arm asks it."""

    model: str
    method: dict[str, Any]
    engine: EngineConfig


class EngineCheckJob(Job):
    """What `check_engine` is given.

    Attributes:
        prompts: prompts tables, in order; the first turns of 32 rows are asked.
        model: folder of a materialised model.
        adapter: folder of the adapter, if the model is a tuned one.
        embedder: folder of the embedding model, for retrieval.
        output: table `engine_checks`.
    """

    spec: EngineCheckSpec
    prompts: tuple[Path, ...]
    model: Path
    adapter: Path | None = None
    embedder: Path | None = None


def check_engine(job: EngineCheckJob, python: Path) -> None:
    """Compare vLLM with transformers on the first prompts of an arm.

    Args:
        job: says what to compare.
        python: the interpreter that has vLLM.

    Raises:
        AlignlabError: vLLM fails, or the arm's prompts cannot be rendered.
    """
    spec, weights = job.spec, Weights(job.model, job.adapter, job.embedder)
    asked = _first_prompts(spec.method, job.prompts, weights)
    answers: list[Answer] = []
    made_with = None
    if asked.token_ids:
        answers, made_with = _ask_vllm(python, weights, spec.engine.dtype, asked.token_ids)
    rows = compared_rows(weights, spec.engine.dtype, asked, answers)
    said = f"its prompt leaves no room for {NEW_TOKENS} tokens in {weights.context_window}"
    rows += [_skipped(name, tokens, said) for name, tokens in asked.skipped]
    with tables.writing("engine_checks", job.output, spec.signed, made_with) as writer:
        writer.write({"model": spec.model, **row} for row in rows)


def compared_rows(
    weights: Weights, dtype: str, asked: CheckedPrompts, answers: list[Answer]
) -> list[Row]:
    """A row of every prompt that vLLM was asked."""
    named = list(zip(asked.prompt_ids, asked.token_ids, answers, strict=True))
    rows = [_skipped(name, len(ids), a["lacking"]) for name, ids, a in named if "lacking" in a]
    named = [(name, ids, answer) for name, ids, answer in named if "lacking" not in answer]
    if not named:
        return rows
    try:
        scorer = ScoringModel(weights, dtype)
    except AlignlabError as error:
        log.warning("%s is not checked: %s", weights.name, error)
        return rows + [_skipped(name, len(ids), str(error), theirs) for name, ids, theirs in named]
    own = _answers(scorer, [ids for _, ids, _ in named], asked.prefix)
    return rows + [
        {"prompt_id": name, "skipped": None, **_compared(scorer, asked, ids, theirs, ours)}
        for (name, ids, theirs), ours in zip(named, own, strict=True)
    ]


def _skipped(name: str, tokens: int, why: str, theirs: Answer | None = None) -> Row:
    """A row of a prompt that was not compared, with vLLM's answer if there is one."""
    return {
        "prompt_id": name,
        "skipped": why,
        "prompt_tokens": tokens,
        "vllm_ids": theirs and theirs["token_ids"],
        "vllm_logprobs": theirs and theirs["logprobs"],
        "transformers_ids": None,
        "transformers_logprobs": None,
        "first_divergence": None,
        "divergence_gap": None,
    }


def _first_prompts(
    method: dict[str, Any], paths: Sequence[Path], weights: Weights
) -> CheckedPrompts:
    """First turns that leave room for an answer, and those before them that leave none."""
    prompter = build_prompter(method, weights.tokenizer, weights.embedder)
    encode = encoder(weights.tokenizer, prompter)
    rows = chain.from_iterable(tables.rows("prompts", path) for path in paths)
    room = weights.context_window - NEW_TOKENS
    found = CheckedPrompts([], [], shared_prefix(prompter, encode), [])
    for row in rows:
        ids = encode(prompter.render(row["turns"][:1], []))
        if len(ids) > room:
            found.skipped.append((row["prompt_id"], len(ids)))
            continue
        found.prompt_ids.append(row["prompt_id"])
        found.token_ids.append(ids)
        if len(found.token_ids) == PROMPTS:
            break
    return found


def _ask_vllm(
    python: Path, weights: Weights, dtype: str, prompts: list[list[int]]
) -> tuple[list[Answer], dict[str, str]]:
    """Answers by vLLM, `token_ids` and their `logprobs`, and the versions that made them.

    In a process of its own, whose memory is free again when transformers loads the same model.
    """
    with tempfile.TemporaryDirectory() as folder:
        answers = Path(folder) / "answers.json"
        order = {
            "folder": str(weights.folder),
            "adapter": str(weights.adapter or ""),
            "dtype": dtype,
            "prompts": prompts,
            "output": str(answers),
        }
        run = subprocess.run(
            [python, "-m", "alignlab.answering.engine_check"],
            input=json.dumps(order),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        log.info("vLLM:\n%s", run.stdout)
        if run.returncode:
            last = run.stdout.strip().splitlines()[-1:] or [f"exit status {run.returncode}"]
            raise AlignlabError(f"vLLM failed: {last[0]}")
        told: tuple[list[Answer], dict[str, str]] = json.loads(answers.read_text(encoding="utf-8"))
        return told


def _answers(scorer: ScoringModel, prompts: list[list[int]], prefix: list[int]) -> list[list[int]]:
    """What transformers answers by itself."""
    scorer.engine.batch_size = BATCH
    requests = [Request(ids) for ids in prompts]
    decoding = DecodingConfig(max_new_tokens=NEW_TOKENS)
    batches = scorer.engine.generate(requests, prefix, decoding, Stopping())
    found = dict(chain.from_iterable(batches))
    return [found[index].token_ids for index in range(len(requests))]


def _compared(
    scorer: ScoringModel, asked: CheckedPrompts, prompt: list[int], theirs: Answer, ours: list[int]
) -> Row:
    ids: list[int] = theirs["token_ids"]
    logprobs = _forced(scorer, asked.prefix, Forced(prompt, ids))
    same = len(common_prefix(ids, ours))
    parted = same < min(len(ids), len(ours))
    gap = (logprobs[same, ours[same]] - logprobs[same, ids[same]]).abs().item() if parted else None
    return {
        "prompt_tokens": len(prompt),
        "vllm_ids": ids,
        "vllm_logprobs": theirs["logprobs"],
        "transformers_ids": ours,
        "transformers_logprobs": logprobs[range(len(ids)), ids].tolist(),
        "first_divergence": None if ids == ours else same,
        "divergence_gap": gap,
    }


@torch.inference_mode()
def _forced(scorer: ScoringModel, prefix: list[int], row: Forced) -> Tensor:
    """Log-probabilities of every id at every position of an answer, [tokens, vocabulary]."""
    (hidden,) = scorer.states([[row]], prefix if begins_with(row.context, prefix) else [])
    logits = torch.empty(len(row.answer), scorer.head.width, device=hidden.device)
    scorer.head.logits(hidden, logits)
    return logits.log_softmax(-1).cpu()


def _answer(ids: list[int], logprobs: list[float]) -> Answer:
    return {"token_ids": ids, "logprobs": logprobs}


def answer_with_vllm(order: dict[str, Any]) -> None:
    """The half of the check that vLLM's own interpreter runs."""
    from alignlab.engines import vllm_engine

    adapter = Path(order["adapter"]) if order["adapter"] else None
    engine = vllm_engine.load(Path(order["folder"]), order["dtype"], BATCH, adapter)
    lacking = [engine.lacks_room([len(ids)], NEW_TOKENS) for ids in order["prompts"]]
    fitting = [ids for ids, lacks in zip(order["prompts"], lacking, strict=True) if not lacks]
    found = iter(engine.greedy(fitting, NEW_TOKENS))
    answers = [{"lacking": lacks} if lacks else _answer(*next(found)) for lacks in lacking]
    Path(order["output"]).write_text(json.dumps([answers, tables.versions()]), encoding="utf-8")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        answer_with_vllm(json.load(sys.stdin))
    except AlignlabError as error:
        sys.exit(str(error))
