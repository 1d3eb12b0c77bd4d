"""What is checked before the first step, for it would ruin a tuning without a word.

    pytest tests/tuning/test_preflight.py

Every check that fails raises one AlignlabError that names the model, and the row where there is
one. That no evaluation prompt is trained on is checked by `alignlab.learning.overlap`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from alignlab.core.errors import AlignlabError
from alignlab.prompting.encode import Prompter, adds_bos

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNLABELLED = -100  # torch's own number for "no loss here"
PROBES = ("first question", "first answer", "second question")


def check_turns(prompter: Prompter, name: str) -> None:
    """What was said so far must stand in the prompt: some chat templates drop a role.

    Raises:
        AlignlabError: a message is missing, or the template refuses a conversation.
    """
    question, answer, follow_up = PROBES
    try:
        text = prompter.render([question, follow_up], [answer])
    except TemplateError as error:
        raise AlignlabError(f"{name}: the chat template refuses a conversation: {error}") from error
    for role, said in (("user's", question), ("assistant's", answer), ("user's", follow_up)):
        if said not in text:
            raise AlignlabError(f"{name}: the chat template drops the {role} turn: {text!r}")


def choose_padding(tokenizer: PreTrainedTokenizerBase) -> None:
    """Pad with a token that is not the end of an answer.

    Code that masks padding by its id would mask the end too, and the model would never learn to
    stop.

    Raises:
        AlignlabError: no token ends an answer, or there is no other special token.
    """
    end, where = tokenizer.eos_token, tokenizer.name_or_path
    if end is None:
        raise AlignlabError(f"{where}: the tokenizer has no token to end answers")
    named = (tokenizer.pad_token, tokenizer.unk_token, tokenizer.bos_token)
    other = next((token for token in named if token not in (None, end)), None)
    if other is None:
        raise AlignlabError(f"{where}: no special token but {end!r} to pad with")
    tokenizer.pad_token = other


def check_example(
    where: str,
    example: dict[str, list[int]],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> None:
    """One BOS, one end of the answer, something to learn before it, and not too long.

    Args:
        where: names the model and the row.
        example: `input_ids` and `labels`, of equal length.
        tokenizer: whose special tokens are looked for.
        max_length: in tokens.

    Raises:
        AlignlabError: one of these does not hold.
    """
    ids, end = example["input_ids"], tokenizer.eos_token_id
    learnt = [label for label in example["labels"] if label != UNLABELLED]
    if learnt.count(end) != 1 or learnt[-1] != end:
        raise AlignlabError(
            f"{where}: {tokenizer.eos_token!r} must stand once in the labels, at the end of the "
            f"answer; it stands there {learnt.count(end)} times"
        )
    if len(learnt) == 1:
        raise AlignlabError(f"{where}: no token of the answer carries loss")
    if adds_bos(tokenizer) and ids.count(tokenizer.bos_token_id) != 1:
        raise AlignlabError(
            f"{where}: exactly one {tokenizer.bos_token!r} is expected, not "
            f"{ids.count(tokenizer.bos_token_id)}"
        )
    if len(ids) > max_length:
        raise AlignlabError(f"{where}: {len(ids)} tokens are more than max_length, {max_length}")


def check_batch(spec: dict[str, Any], count: int, what: str) -> None:
    """There must be enough for one batch.

    Raises:
        AlignlabError: there are fewer.
    """
    if count < spec["batch_size"]:
        raise AlignlabError(
            f"{spec['name']}: {count} {what} are fewer than one batch; batch_size is "
            f"{spec['batch_size']}"
        )
