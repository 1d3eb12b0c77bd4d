import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.core.errors import AlignlabError
from alignlab.endpoints.budget import Budget, Tokens
from alignlab.endpoints.config import PriceConfig

COUNT = st.integers(0, 10**9)


def test_dollars_are_for_a_million_tokens():
    budget = Budget(PriceConfig(prompt=10, completion=30), None)
    assert budget.usd(Tokens(2_000_000, 500_000)) == 35


def test_a_limit_needs_a_price():
    with pytest.raises(AlignlabError, match="price"):
        Budget(None, 1.0)
    unknown = Budget(None, None)
    assert unknown.usd(Tokens(10, 10)) is None
    assert unknown.allows(Tokens(10**12, 10**12))


@given(COUNT, COUNT, COUNT, COUNT)
def test_more_tokens_are_never_allowed_where_fewer_are_not(a, b, more_a, more_b):
    budget = Budget(PriceConfig(prompt=2.5, completion=10), 1000.0)
    few, many = Tokens(a, b), Tokens(a, b) + Tokens(more_a, more_b)
    assert many - few == Tokens(more_a, more_b)
    assert budget.allows(few) or not budget.allows(many)
