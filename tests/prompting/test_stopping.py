import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.prompting.encode import Stopping

URIAL = Stopping(("# Query:",), fenced=True)
CODE = "Here it is.\n\n```python\nprint('# Query')\n```\n\nDone."


@pytest.mark.parametrize(
    ("raw", "text", "why"),
    [
        ("Hello.", "Hello.", ""),
        ("Hello.\n```\n\n# Query:\n", "Hello.", "fence"),
        ("Hello.\n```", "Hello.", "fence"),
        ("Hello.\n# Query:\n", "Hello.", "stop_string"),
        ("# Query:\nWhy?", "", "stop_string"),
        ("Use jQuery # Query inline.", "Use jQuery # Query inline.", ""),
        (f"{CODE}\n```\nmore", CODE, "fence"),
        ("Code:\n```\nx = 1\n```\nEnd.\n```\nmore", "Code:\n```\nx = 1\n```\nEnd.", "fence"),
        ("```\nmore", "", "fence"),
        ("The answer is:\n```\n\n# Query:\nWhy?", "The answer is:", "fence"),
        ("See:\n```python\nx = 1", "See:\n```python\nx = 1", ""),
        ("See:\n```\nx = 1", "See:\n```\nx = 1", ""),
        ("```python\n# Query the table\nx = 1", "```python\n# Query the table\nx = 1", ""),
        ("Hello. ```inline``` code", "Hello. ```inline``` code", ""),
        ("  Hello.  \n", "Hello.", ""),
    ],
)
def test_cut(raw, text, why):
    assert URIAL.cut(raw) == (text, why)


def test_a_fence_at_the_very_end_may_still_open_code():
    assert URIAL.cut("See this\n```", complete=False) == ("See this\n```", "")
    assert URIAL.cut("See this\n```\n", complete=False) == ("See this", "fence")
    assert URIAL.cut("See this\n```python\n", complete=False)[1] == ""


def test_without_a_frame_nothing_is_cut():
    assert Stopping().cut("a\n```\nb\n# Query:") == ("a\n```\nb\n# Query:", "")


@given(st.text(alphabet="`a\n#Query :p"))
def test_a_cut_answer_is_a_part_of_the_raw_one_and_stays_as_it_is(raw):
    text, _ = URIAL.cut(raw)
    assert raw.strip().startswith(text)
    assert URIAL.cut(text)[0] == text


@given(st.text(alphabet="`a\n#Query :p", max_size=30), st.text(alphabet="`a\n#Query :p"))
def test_what_ended_an_answer_early_still_ends_it_with_more_text(raw, more):
    early, why = URIAL.cut(raw, complete=False)
    if why:
        assert URIAL.cut(raw + more)[0] == early
        assert URIAL.may_end(raw)
