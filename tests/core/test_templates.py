"""Templates: what is put into a place is never read as a template."""

from hypothesis import given
from hypothesis import strategies as st

from alignlab.core.templates import fill


@given(st.text(), st.text())
def test_braces_in_answers_mean_nothing(instruction, response):
    values = {"instruction": instruction + "{response}", "response": response + "{}{instruction}"}
    filled = fill("a {instruction} b {response} c {", values)
    assert filled == f"a {values['instruction']} b {values['response']} c {{"
