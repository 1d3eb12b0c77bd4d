"""RLHF: a reward model learns from the preferences of a training set, a policy from the rewards.

First the base model with a scalar head learns to rank answers (arXiv 2203.02155 §3.5); then the
policy, which begins as the base model, answers the questions of the training set, and answers that
earn more than the others to the same question become likelier (RLOO, arXiv 2402.14740). A killed
job keeps a finished reward model, and each of the two goes on from its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    set_seed,
)
from trl import RewardConfig, RewardTrainer, RLOOConfig, RLOOTrainer
from trl.trainer.reward_trainer import suppress_seqcls_warning

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.engines.adapter import adapted
from alignlab.engines.base import end_ids
from alignlab.tuning.config import RlhfConfig
from alignlab.tuning.examples import UNLABELLED, AdapterSpec, Examples, check_batch, preferences
from alignlab.tuning.fit import (
    NO_BALANCING,
    SEVERAL_ANSWERS,
    Trained,
    arguments,
    fit,
    open_base,
    order,
    save,
)
from alignlab.tuning.lora import lora_config


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


def questions(examples: Examples) -> dict[str, list[int]]:
    """The distinct prompts of all rows, as texts, with the ids that the tuned model is asked.

    Raises:
        AlignlabError: one leaves no room for an answer.
    """
    spec = examples.spec
    longest = spec.max_length - _own(spec).max_new_tokens
    asked: dict[str, list[int]] = {}
    for row in examples.rows:
        text = examples.render(row)
        ids = examples.encode(text)
        if len(ids) > longest:
            raise AlignlabError(
                f"{examples.where(row)}: a prompt of {len(ids)} tokens and an answer of "
                f"rlhf.max_new_tokens are more than max_length, {spec.max_length}"
            )
        asked[str(text)] = ids
    return asked


class TokenisedRloo(RLOOTrainer):
    """TRL's trainer for prompts whose token ids are known; its own would tokenise the texts."""

    def __init__(self, *, asked: Mapping[str, list[int]], **own: Any) -> None:
        self.asked = asked
        super().__init__(**own)

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [self.asked[text] for text in prompts], None, {}

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        *_: Any,
        compute_entropy: bool = False,
        **__: Any,
    ) -> tuple[Tensor, Tensor | None, None]:
        """As TRL's, but every row begins with its first token.

        TRL pads questions on the left and gives no positions, so that a model with absolute ones
        reads a short question further back than it is asked it (trl#6800).

        Args:
            model: the policy, or its base.
            input_ids: questions and answers, [rows, tokens], padded on either side.
            attention_mask: 1 for what is no padding.
            logits_to_keep: tokens at the end of each row that are answers, or padding behind them.
            compute_entropy: whether the entropies are wanted.

        Returns:
            Log-probabilities and entropies of these tokens, [rows, logits_to_keep], nats.
        """
        start, width = attention_mask.argmax(1, keepdim=True), input_ids.shape[1]
        places = torch.arange(width, device=input_ids.device)
        labels = input_ids.masked_fill(attention_mask == 0, UNLABELLED)
        labels[:, :-logits_to_keep] = UNLABELLED
        ids, mask, labels = (
            tensor.gather(1, (places + start) % width)
            for tensor in (input_ids, attention_mask, labels)
        )
        found = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
        # What is found at a place is of the token behind it.
        answers = places[-logits_to_keep:] - start - 1
        entropies = found.entropy.gather(1, answers) if compute_entropy else None
        return found.log_probs.gather(1, answers), entropies, None


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
    base = _with_head(spec, model)
    update = lora_config(spec, base, "SEQ_CLS")
    return fit(RewardTrainer, args, examples, rows, chosen, model=base, peft_config=update)


def _learn_policy(
    examples: Examples,
    asked: dict[str, list[int]],
    model: Path,
    judge: PreTrainedModel,
    aside: Path,
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
        **NO_BALANCING,
        "shuffle_dataset": False,
        "disable_dropout": True,
        "include_num_input_tokens_seen": "no",  # the trainer counts by itself
    }
    args = arguments(RLOOConfig, spec, own.steps, aside, **sampling)
    base = open_base(spec, model, AutoModelForCausalLM)
    rows = [{"prompt": text} for text in asked]
    update = lora_config(spec, base, "CAUSAL_LM")
    named = end_ids(base.generation_config.eos_token_id, examples.tokenizer)
    ends = named.union(examples.prompter.stopping.tokens, [examples.end])
    base.generation_config.eos_token_id = sorted(ends)
    earned = rewards(judge.to(args.device), examples, asked, ends)
    parts = {"model": base, "peft_config": update, "reward_funcs": earned, "asked": asked}
    return fit(TokenisedRloo, args, examples, rows, chosen, **parts)


def rewards(
    judge: PreTrainedModel,
    examples: Examples,
    asked: Mapping[str, list[int]],
    ends: set[int],
) -> Callable[..., list[float]]:
    """TRL's reward function: a number for each sampled answer, under the reward model.

    An answer is judged where reward models are trained to judge, at the token that ends it. One
    that was cut at its greatest length is judged as if it had ended there.

    Args:
        judge: the reward model, with one score for a text.
        examples: whose tokenizer pads, and whose end ends, what is judged.
        asked: the ids of each prompt.
        ends: every token that ends an answer of the policy.
    """
    judge.eval()
    tokenizer = examples.tokenizer
    judge.config.pad_token_id = tokenizer.pad_token_id

    def reward(prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        rows = [
            [*asked[prompt], *takewhile(lambda token: token not in ends, answer), examples.end]
            for prompt, answer in zip(prompts, completion_ids, strict=True)
        ]
        batch = tokenizer.pad({"input_ids": rows}, padding_side="right", return_tensors="pt")
        with torch.inference_mode():
            scores: torch.Tensor = judge(**batch.to(judge.device)).logits[:, 0]
        return scores.float().tolist()

    return reward
