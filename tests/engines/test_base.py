"""When a row has ended."""

import pytest
from transformers import AutoTokenizer

from alignlab.engines.base import Ending
from alignlab.prompting.encode import Stopping

THOUGHTS = "<think>\n# Query:\n```\n</think>\n"
OPENED = "# Query:\nWhy?\n# Answer:\n<think>\n"
SPECIAL = f"[THINK]{THOUGHTS[7:-9]}[/THINK]"


@pytest.mark.parametrize(
    ("prompt", "text", "reason"),
    [
        ("", "Hi\n# Query:", "stop"),
        ("", f"{THOUGHTS}Hi\n# Query:", "stop"),
        ("", f"{THOUGHTS}Hi\n```\n\n", "stop"),
        ("", f"{THOUGHTS}Hi", "length"),
        ("", "<think>\n# Query:\nHi", "length"),
        (OPENED, f"{THOUGHTS[7:]}Hi\n# Query:", "stop"),
        (OPENED, f"{THOUGHTS[7:]}Hi", "length"),
        (OPENED, "\n# Query:\n```\n\nHi", "length"),
        (f"{OPENED}</think>", "Hi\n# Query:", "stop"),
        ("", f"{SPECIAL}Hi\n# Query:", "stop"),
        ("", f"{SPECIAL}Hi", "length"),
        ("[THINK]", f"{SPECIAL[7:]}Hi", "length"),
    ],
)
def test_what_ends_an_answer_does_not_end_thoughts(repository_root, prompt, text, reason):
    tokenizer = AutoTokenizer.from_pretrained(repository_root / "config/catalog/tiny-tokenizer")
    tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]"]})
    before, ids = (tokenizer(t, add_special_tokens=False).input_ids for t in (prompt, text))
    stopping = Stopping(("# Query:",), fenced=True)
    ending = Ending(tokenizer, set(), stopping, [before], [len(ids)])
    for token in ids:
        if not ending.accept([token]):
            break
    (done,) = ending.completions
    assert done.finish_reason == reason
    assert "Hi" in tokenizer.decode(done.token_ids)
