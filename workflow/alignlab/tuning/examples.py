"""Question-answer pairs → the token ids and labels a model is tuned on, checked before any step.

    pytest tests/tuning/test_examples.py

A prompt is rendered and encoded by the room that does it when the tuned model is asked, so both
see the same ids. The loss counts the answer and the token that ends it, and nothing else.
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from alignlab.errors import AlignlabError
from alignlab.prompting.encode import Encode, Prompter

UNLABELLED = -100  # torch's own number for "no loss here"


def labelled(
    spec: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    prompter: Prompter,
    encode: Encode,
) -> list[dict[str, list[int]]]:
    """`input_ids` and `labels` of every pair, in order; labels of prompts are -100.

    Raises:
        AlignlabError: no token ends an answer, an answer is empty, a pair is longer than
            `max_length`, or there are fewer pairs than one batch has.
    """
    name, examples = spec["name"], spec["examples"]
    if tokenizer.eos_token_id is None:
        raise AlignlabError(f"{name}: the tokenizer of {spec['base']} has no token to end answers")
    if len(examples) < spec["batch_size"]:
        raise AlignlabError(
            f"{name}: {len(examples)} examples are fewer than one batch; batch_size is "
            f"{spec['batch_size']}"
        )
    rows = []
    for number, example in enumerate(examples, start=1):
        where = f"{name}: example {number} ({example['query'][:40]!r})"
        prompt = encode(prompter.render([example["query"]], []))
        answer: list[int] = tokenizer(example["answer"], add_special_tokens=False).input_ids
        if not answer:
            raise AlignlabError(f"{where}: the answer is empty")
        ids = [*prompt, *answer, tokenizer.eos_token_id]
        if len(ids) > spec["max_length"]:
            raise AlignlabError(
                f"{where}: {len(ids)} tokens are more than max_length, {spec['max_length']}"
            )
        rows.append({"input_ids": ids, "labels": [UNLABELLED] * len(prompt) + ids[len(prompt) :]})
    return rows


def choose_padding(tokenizer: PreTrainedTokenizerBase) -> None:
    """Pad with a token that is not the end of an answer.

    Code that masks padding by its id would mask the end too, and the model would never learn to
    stop.

    Raises:
        AlignlabError: the tokenizer has no other special token.
    """
    end = tokenizer.eos_token
    named = (tokenizer.pad_token, tokenizer.unk_token, tokenizer.bos_token)
    other = next((token for token in named if token not in (None, end)), None)
    if other is None:
        raise AlignlabError(f"{tokenizer.name_or_path}: no special token but {end!r} to pad with")
    tokenizer.pad_token = other
