"""RLHF: a reward model learns from the preferences of a training set, a policy from the rewards.

First the base model with a scalar head learns to rank answers (arXiv 2203.02155 §3.5); then the
policy, which begins as the base model, answers the questions of the training set, and answers that
earn more than the others to the same question become likelier (RLOO, arXiv 2402.14740). A killed
job keeps a finished reward model, and each of the two goes on from its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)
from trl import RewardConfig, RewardTrainer, RLOOConfig, RLOOTrainer
from trl.trainer.reward_trainer import suppress_seqcls_warning

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.engines.adapter import adapted
from alignlab.tuning.config import RlhfConfig
from alignlab.tuning.examples import AdapterSpec, Examples, check_batch, preferences
from alignlab.tuning.fit import (
    SEVERAL_ANSWERS,
    Trained,
    arguments,
    fit,
    lora_config,
    open_base,
    order,
    save,
)


def train(examples: Examples, model: Path, aside: Path) -> Trained:
    """Learn the reward, then the policy; arguments are those of `finetune`.

    Raises:
        AlignlabError: a row or a target is wrong (before any step), or a loss diverges.
    """
    pairs, asked = preferences(examples), questions(examples)
    check_batch(examples.spec, len(asked), "questions")
    reward = aside / "reward"
    if not reward.is_dir():
        learnt = _learn_reward(examples, pairs, model, aside / "reward-steps")
        with tables.building(reward) as folder:
            save(learnt, examples, folder)
    judge = adapted(_with_head(examples.spec, model), reward)
    return _learn_policy(examples, asked, model, judge, aside / "policy-steps")._replace(
        reward=reward
    )


def questions(examples: Examples) -> list[str]:
    """The distinct prompts of all rows, as texts that the tokenizer itself turns into our ids.

    TRL encodes them once more; a tokenizer that adds a BOS must not find one in the text.

    Raises:
        AlignlabError: one has other ids than when the tuned model is asked, or leaves no room for
            an answer.
    """
    spec, tokenizer = examples.spec, examples.tokenizer
    bos = tokenizer.bos_token or ""
    longest = spec.max_length - _own(spec).max_new_tokens
    texts: dict[str, None] = {}
    for row in examples.rows:
        asked = examples.render(row)
        ids = examples.encode(asked)
        text = asked if tokenizer(asked).input_ids == ids else asked.removeprefix(bos)
        if tokenizer(text).input_ids != ids:
            raise AlignlabError(f"{examples.where(row)}: TRL would encode its prompt otherwise")
        if len(ids) > longest:
            raise AlignlabError(
                f"{examples.where(row)}: a prompt of {len(ids)} tokens and an answer of "
                f"rlhf.max_new_tokens are more than max_length, {spec.max_length}"
            )
        texts[text] = None
    return list(texts)


def _own(spec: AdapterSpec) -> RlhfConfig:
    """The keys of this trainer, which every adapter has that it tunes."""
    assert spec.rlhf is not None
    return spec.rlhf


def _with_head(spec: AdapterSpec, model: Path) -> PreTrainedModel:
    """The base model with a new scalar head, the same one for the same seed.

    In float32, as TRL has it: bfloat16 keeps three digits, and good answers differ by less.
    """
    set_seed(spec.seed)
    keys = {"num_labels": 1, "dtype": torch.float32}
    with suppress_seqcls_warning():
        return open_base(spec, model, AutoModelForSequenceClassification, **keys)


def _learn_reward(
    examples: Examples, pairs: list[dict[str, list[int]]], model: Path, aside: Path
) -> Trained:
    spec = examples.spec.model_copy(update=dict(_own(examples.spec).reward))
    check_batch(spec, len(pairs), "preferences")
    rows = [
        {f"{side}_ids": pair["prompt_ids"] + pair[f"{side}_ids"] for side in ("chosen", "rejected")}
        for pair in pairs
    ]
    lengths = [sum(map(len, row.values())) for row in rows]
    chosen = order(lengths, spec.epochs, spec.batch_size, spec.seed)
    steps = -(-len(chosen) // spec.batch_size)
    args = arguments(RewardConfig, spec, steps, aside, max_length=None, **SEVERAL_ANSWERS)
    own = {"model": _with_head(spec, model), "peft_config": lora_config(spec, "SEQ_CLS")}
    return fit(RewardTrainer, args, examples, rows, chosen, **own)


def _learn_policy(
    examples: Examples, asked: list[str], model: Path, judge: PreTrainedModel, aside: Path
) -> Trained:
    spec, own = examples.spec, _own(examples.spec)
    needed = own.steps * spec.batch_size
    lengths = [len(text) for text in asked]
    chosen = order(lengths, -(-needed // len(asked)), spec.batch_size, spec.seed)[:needed]
    sampling = {
        "per_device_train_batch_size": spec.batch_size * own.generations,
        "num_generations": own.generations,
        "max_completion_length": own.max_new_tokens,
        "temperature": own.temperature,
        "beta": own.kl,
        **SEVERAL_ANSWERS,
        "shuffle_dataset": False,
        "disable_dropout": True,
        "include_num_input_tokens_seen": "no",  # the trainer counts by itself
    }
    args = arguments(RLOOConfig, spec, own.steps, aside, **sampling)
    base = open_base(spec, model, AutoModelForCausalLM)
    rows = [{"prompt": text} for text in asked]
    update = lora_config(spec, "CAUSAL_LM")
    earned = rewards(judge.to(args.device), examples.tokenizer, base.generation_config.eos_token_id)
    parts = {"model": base, "peft_config": update, "reward_funcs": earned}
    return fit(RLOOTrainer, args, examples, rows, chosen, **parts)


def rewards(
    judge: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    ends: int | Sequence[int] | None,
) -> Callable[..., list[float]]:
    """TRL's reward function: a number for each sampled answer, under the reward model.

    An answer is judged where reward models are trained to judge, at the token that ends it. One
    that was cut at its greatest length is judged as if it had ended there.

    Args:
        judge: the reward model, with one score for a text.
        tokenizer: pads and ends what is judged.
        ends: other tokens that end an answer of the policy, as its generation config says.
    """
    judge.eval()
    judge.config.pad_token_id = tokenizer.pad_token_id
    also = [] if ends is None else [ends] if isinstance(ends, int) else ends
    endings = {tokenizer.eos_token_id, *also}

    def reward(prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        asked = tokenizer(prompts).input_ids
        rows = [
            [
                *prompt,
                *takewhile(lambda token: token not in endings, answer),
                tokenizer.eos_token_id,
            ]
            for prompt, answer in zip(asked, completion_ids, strict=True)
        ]
        batch = tokenizer.pad({"input_ids": rows}, padding_side="right", return_tensors="pt")
        with torch.inference_mode():
            scores: torch.Tensor = judge(**batch.to(judge.device)).logits[:, 0]
        return scores.float().tolist()

    return reward
