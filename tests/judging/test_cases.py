"""Which prompts are judged, and who can judge them."""

from collections import Counter
from importlib import import_module
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_answers import prompt, write

from alignlab.judging.cases import drawn_prompts
from alignlab.judging.config import AnyJudge, judge_unit


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prompts")
    rows = [
        prompt(f"d/{at}", "What?") | {"category": "safety" if at % 3 == 0 else "regular"}
        for at in range(30)
    ]
    return write(folder, "prompts", rows)


@given(take=st.integers(1, 25), more=st.integers(0, 5), seed=st.integers(0, 9))
def test_so_many_of_each_category_and_more_contain_fewer(prompts, take, more, seed):
    few, many = (drawn_prompts([prompts], n, seed) for n in (take, take + more))
    kinds = Counter(row["category"] for row in few.values())
    assert kinds == {"regular": min(take, 20), "safety": min(take, 10)}
    assert few.keys() <= many.keys()


def test_another_seed_draws_others_in_the_order_of_the_table(prompts):
    ones, others = (list(drawn_prompts([prompts], 5, seed)) for seed in (0, 1))
    assert ones != others
    everything = list(drawn_prompts([prompts], None, 0))
    assert ones == [name for name in everything if name in ones]
    assert len(everything) == 30


@pytest.mark.parametrize("kind", [k for k in get_args(get_args(AnyJudge)[0]) if k.can_be_asked])
def test_every_kind_of_judge_that_can_be_asked_has_a_module(kind):
    (name,) = get_args(kind.model_fields["kind"].annotation)
    assert callable(import_module(judge_unit(name).module).load)
