"""Which rows are asked: same on every machine, and exactly what was asked for."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.core.errors import AlignlabError
from alignlab.sources.config import PromptSetConfig
from alignlab.sources.selection import select


def row(number, source="s", tags=("t",), turns=("q1", "q2")):
    return {
        "prompt_id": f"d/{number}",
        "category": "regular",
        "source": source,
        "tags": list(tags),
        "turns": list(turns),
    }


def chosen(**keys):
    return PromptSetConfig(dataset="d", **keys)


def ids(rows):
    return [row["prompt_id"] for row in rows]


@st.composite
def grouped(draw):
    """Rows of two or three sources in any order, with at least `take` of each."""
    take = draw(st.integers(1, 4))
    sizes = draw(st.lists(st.integers(take, take + 5), min_size=2, max_size=3))
    sources = [f"s{n}" for n, size in enumerate(sizes) for _ in range(size)]
    return [row(n, s) for n, s in enumerate(draw(st.permutations(sources)))], take


@given(grouped(), st.none() | st.integers(0, 9))
def test_take_per_gives_that_many_of_each_in_the_order_of_the_file(example, seed):
    rows, take = example
    kept = select(rows, chosen(take=take, per="source", sample=seed))
    assert set(Counter(row["source"] for row in kept).values()) == {take}
    assert kept == [row for row in rows if row in kept]


@given(st.integers(1, 20), st.integers(0, 99), st.permutations(range(20)))
def test_a_sample_ignores_the_order_and_contains_smaller_ones(take, seed, order):
    rows = [row(n) for n in range(20)]
    kept = set(ids(select(rows, chosen(take=take, sample=seed))))
    assert kept == set(ids(select([rows[n] for n in order], chosen(take=take, sample=seed))))
    assert set(ids(select(rows, chosen(take=1, sample=seed)))) <= kept


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_distinct_keeps_the_first_of_every_question(questions):
    rows = [row(n, turns=(f"q{question}",)) for n, question in enumerate(questions)]
    kept = select(rows, chosen(distinct=True))
    assert ids(kept) == [f"d/{questions.index(q)}" for q in dict.fromkeys(questions)]


def test_seeds_differ():
    rows = [row(n) for n in range(50)]
    samples = {tuple(ids(select(rows, chosen(take=10, sample=seed)))) for seed in range(5)}
    assert len(samples) == 5


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_pythons_hash_seed_plays_no_part(seed):
    code = (
        "from alignlab.sources.selection import select\n"
        "from alignlab.sources.config import PromptSetConfig\n"
        "rows = [dict(prompt_id=f'd/{n}', source='s', tags=['t'], turns=['q']) for n in range(9)]\n"
        "kept = select(rows, PromptSetConfig(dataset='d', take=3, sample=1, per='tags'))\n"
        "print(*[row['prompt_id'] for row in kept])\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.stdout.split() == [b"d/0", b"d/1", b"d/8"]


def test_first_rows_without_a_seed_and_turns_cut():
    kept = select([row(n) for n in range(5)], chosen(take=2, turns=1))
    assert ids(kept) == ["d/0", "d/1"]
    assert [row["turns"] for row in kept] == [["q1"], ["q1"]]


def test_where_keeps_any_of_the_values_and_ids_keep_the_order_of_the_file():
    rows = [row(0, tags=("a", "b")), row(1, tags=("c",)), row(2, tags=("b",)), row(3, tags=())]
    assert ids(select(rows, chosen(where={"tags": ("b", "c")}))) == ["d/0", "d/1", "d/2"]
    assert ids(select(rows, chosen(ids=("d/2", "d/0")))) == ["d/0", "d/2"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"ids": ("d/0", "d/9")}, "no prompt 'd/9'; ids look like 'd/0'"),
        (
            {"where": {"tags": ("t", "typo")}},
            "selection.where.tags: no row has 'typo'; there are t",
        ),
        ({"take": 3}, "selection.take: 3 rows asked for, there are 2"),
        ({"take": 2, "per": "source"}, "there are 1 with source 'a'"),
        ({"per": "source"}, "need `take`"),
        ({"sample": 0}, "need `take`"),
    ],
)
def test_what_cannot_be_met_is_an_error(keys, expected):
    with pytest.raises(AlignlabError) as caught:
        select([row(0, "a"), row(1, "b")], chosen(**keys))
    assert expected in str(caught.value)
