"""When a row has ended."""

import pytest
from transformers import AutoTokenizer

from alignlab.engines.base import Ending
from alignlab.prompting.encode import Stopping

THOUGHTS = "<think>\n# Query:\n```\n</think>\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Hi\n# Query:", "stop"),
        (f"{THOUGHTS}Hi\n# Query:", "stop"),
        (f"{THOUGHTS}Hi\n```\n\n", "stop"),
        (f"{THOUGHTS}Hi", "length"),
        ("<think>\n# Query:\nHi", "length"),
    ],
)
def test_what_ends_an_answer_does_not_end_thoughts(repository_root, text, reason):
    tokenizer = AutoTokenizer.from_pretrained(repository_root / "config/catalog/tiny-tokenizer")
    ids = tokenizer(text, add_special_tokens=False).input_ids
    ending = Ending(tokenizer, set(), Stopping(("# Query:",), fenced=True), [len(ids)])
    for token in ids:
        if not ending.accept([token]):
            break
    (done,) = ending.completions
    assert done.finish_reason == reason
    assert "Hi" in tokenizer.decode(done.token_ids)
